//! Results for people: aligned tables, or one field a line where the terminal
//! is too narrow for a table.

use std::io::{self, IsTerminal};

use unicode_width::UnicodeWidthStr;

use super::printable;

/// Rows under a head, aligned by the width of what stands in them.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(head: impl Into<Vec<&'static str>>) -> Self {
        Self { head: head.into(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column. What would move the cursor or
    /// colour the terminal is shown as a space.
    pub(super) fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells: Vec<String> = cells.into();
        self.rows.push(cells.iter().map(|cell| printable::line(cell)).collect());
    }

    /// As text for stdout as it is.
    pub(super) fn text(&self) -> String {
        self.within(columns())
    }

    fn within(&self, columns: Option<usize>) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|index| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.width());
                cells.chain(self.head.get(index).map(|head| head.width())).max().unwrap_or(0)
            })
            .collect();
        let needed = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if columns.is_some_and(|columns| needed > columns) { self.records() } else { self.aligned(&widths) }
    }

    fn aligned(&self, widths: &[usize]) -> String {
        let mut text = String::new();
        let head: Vec<String> = self.head.iter().map(|head| (*head).to_owned()).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + 2));
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
}
