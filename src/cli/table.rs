//! Results for people: aligned tables, cut where the terminal is too narrow
//! for what people wrote, or one field a line where it is too narrow for a
//! table.

use std::io::{self, IsTerminal};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use super::printable;

/// Least columns that are left of a text that is cut.
const LEAST: usize = 12;
/// What stands in the place of what was cut off.
const CUT: &str = "…";

/// Rows under a head, aligned by the width of what stands in them.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Which columns may be cut.
    cut: Vec<usize>,
    /// The column that is coloured.
    coloured: Option<usize>,
    /// The colours of its rows.
    colours: Vec<Option<Colour>>,
}

/// A colour of the terminal (ECMA-48, section 8.3.117).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Grey,
}

impl Colour {
    fn number(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
            Self::Grey => 90,
        }
    }

    /// The text in this colour.
    pub(super) fn paint(self, text: &str) -> String {
        format!("\x1b[{}m{text}\x1b[0m", self.number())
    }
}

impl Table {
    /// An empty table.
    pub(super) fn new(head: impl Into<Vec<&'static str>>) -> Self {
        Self { head: head.into(), rows: Vec::new(), cut: Vec::new(), coloured: None, colours: Vec::new() }
    }

    /// The same, of which these columns are cut where the terminal is too
    /// narrow.
    pub(super) fn cutting(self, cut: Vec<usize>) -> Self {
        Self { cut, ..self }
    }

    /// The same, of which this column is in the colours of its rows.
    pub(super) fn colouring(self, column: Option<usize>) -> Self {
        Self { coloured: column, ..self }
    }

    /// Adds a row with a cell for each column. What would move the cursor or
    /// colour the terminal is shown as a space.
    pub(super) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.row_in(None, cells);
    }

    /// Adds a row in this colour.
    pub(super) fn row_in(&mut self, colour: Option<Colour>, cells: impl Into<Vec<String>>) {
        let cells: Vec<String> = cells.into();
        self.rows.push(cells.iter().map(|cell| printable::line(cell)).collect());
        self.colours.push(colour);
    }

    /// As text for stdout as it is.
    pub(super) fn text(&self) -> String {
        self.within(columns())
    }

    fn within(&self, columns: Option<usize>) -> String {
        let mut widths: Vec<usize> = (0..self.head.len())
            .map(|index| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
                cells.chain(self.head.get(index).map(|head| head.width())).max().unwrap_or(0)
            })
            .collect();
        let gaps = 2 * widths.len().saturating_sub(1);
        let Some(columns) = columns else { return self.aligned(&widths) };
        let needed = widths.iter().sum::<usize>() + gaps;
        self.narrow(&mut widths, needed.saturating_sub(columns));
        if widths.iter().sum::<usize>() + gaps > columns { self.records() } else { self.aligned(&widths) }
    }

    /// Takes `excess` from the columns that may be cut, from the widest first.
    fn narrow(&self, widths: &mut [usize], excess: usize) {
        for _ in 0..excess {
            let wide = self.cut.iter().filter_map(|&index| Some((*widths.get(index)?, index)));
            let Some((_, index)) = wide.filter(|(width, _)| *width > LEAST).max() else { return };
            if let Some(width) = widths.get_mut(index) {
                *width -= 1;
            }
        }
    }

    fn aligned(&self, widths: &[usize]) -> String {
        let mut text = String::new();
        let head: Vec<String> = self.head.iter().map(|head| (*head).to_owned()).collect();
        let colours = std::iter::once(&None).chain(&self.colours);
        for (row, colour) in std::iter::once(&head).chain(&self.rows).zip(colours) {
            let mut line = String::new();
            let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
            for (index, (cell, &width)) in row.iter().zip(widths).enumerate() {
                let cell = cut(cell, width);
                let gap = if index < last { width - cell.width() + 2 } else { 0 };
                match colour.filter(|_| self.coloured == Some(index)) {
                    Some(colour) => line.push_str(&colour.paint(&cell)),
                    None => line.push_str(&cell),
                }
                line.push_str(&" ".repeat(gap));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn records(&self) -> String {
        let width = self.head.iter().map(|head| head.width()).max().unwrap_or(0);
        let record = |row: &Vec<String>| -> String {
            let lines = self.head.iter().zip(row);
            lines.map(|(head, cell)| format!("{head}{} {cell}\n", " ".repeat(width - head.width()))).collect()
        };
        self.rows.iter().map(record).collect::<Vec<_>>().join("\n")
    }
}

/// As much of the text as so many columns hold. What belongs together (a
/// letter and its accents, an emoji that is joined of several) is not torn.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut before = None;
    let mut end = 0;
    for (place, character) in text.char_indices() {
        let head = text.get(..place).unwrap_or_default();
        if head.width() + CUT.width() > columns {
            break;
        }
        let joins = before == Some('\u{200d}') || character.width().unwrap_or(0) == 0;
        if !joins {
            end = place;
        }
        before = Some(character);
    }
    format!("{}{CUT}", text.get(..end).unwrap_or_default().trim_end())
}

/// The width of the terminal that stdout is; `None` when it is none.
fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NAME", "STATUS"]);
        table.row(["Café 東京".to_owned(), "online".to_owned()]);
        table.row(["Bar".to_owned(), String::new()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        assert_eq!(table().within(Some(80)), "NAME       STATUS\nCafé 東京  online\nBar\n");
        assert_eq!(table().within(None), table().within(Some(80)));
    }

    #[test]
    fn a_row_stays_a_row_whatever_its_cells_hold() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\nb\u{1b}[31m\u{9b}c".to_owned()]);
        assert_eq!(table.within(Some(80)), "NAME\na b [31m c\n");
    }

    #[test]
    fn a_terminal_too_narrow_gets_one_field_a_line() {
        assert_eq!(table().within(Some(12)), "NAME   Café 東京\nSTATUS online\n\nNAME   Bar\nSTATUS \n");
    }

    #[test]
    fn what_may_be_cut_is_cut_to_the_width_of_the_terminal() {
        let mut table = Table::new(["NAME", "STATUS"]).cutting(vec![0]);
        table.row(["Trattoria da Mario".to_owned(), "online".to_owned()]);
        assert_eq!(table.within(Some(26)), "NAME                STATUS\nTrattoria da Mario  online\n");
        assert_eq!(table.within(Some(25)), "NAME               STATUS\nTrattoria da Mar…  online\n");
        assert_eq!(table.within(Some(20)), "NAME          STATUS\nTrattoria d…  online\n");
        assert!(table.within(Some(19)).starts_with("NAME   Trattoria da Mario\n"));
        assert!(table.within(None).contains("Trattoria da Mario "));
    }

    #[test]
    fn nothing_that_belongs_together_is_torn() {
        assert_eq!(cut("東京東京", 5), "東京…");
        assert_eq!(cut("東京東京", 4), "東…");
        assert_eq!(cut("Cafe\u{301} Roma", 5), "Cafe\u{301}…");
        assert_eq!(cut("ab👩\u{200d}🍳cd", 4), "ab…");
        assert_eq!(cut("abc", 3), "abc");
        for columns in 1..12 {
            assert!(cut("a東e\u{301}👩\u{200d}🍳 bcd", columns).width() <= columns);
        }
    }

    #[test]
    fn a_colour_is_no_part_of_the_width() {
        let mut table = Table::new(["STATUS", "NAME"]).colouring(Some(0));
        table.row_in(Some(Colour::Green), ["online".to_owned(), "Bar".to_owned()]);
        table.row(["locked".to_owned(), "Café".to_owned()]);
        assert_eq!(table.within(Some(80)), "STATUS  NAME\n\x1b[32monline\x1b[0m  Bar\nlocked  Café\n");
    }
}
