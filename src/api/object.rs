//! The JSON object that a request body is, read strictly.
//!
//! serde_json keeps the last of members with the same name and drops the
//! others without a word; what reads the body elsewhere, a proxy or a log, may
//! keep the first (RFC 8259, section 4; RFC 7493, section 2.3 forbids such
//! members). Here they are a fault that is named. What is kept is bounded in
//! members and in depth while it is read, so that neither the memory nor the
//! answer grows with what a stranger sends. serde_json does the reading: a
//! parser of our own would be a second opinion on what JSON is.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::field_errors::FieldErrors;
use super::problem::Problem;

/// Most members of an object that is kept.
pub(super) const MAX_MEMBERS: usize = 64;
/// Objects and arrays that may stand in one another, the outermost included.
pub(super) const MAX_DEPTH: usize = 8;

/// What is said of a member or a parameter that stands there more than once.
pub(super) const GIVEN_TWICE: &str = "must not be given more than once";

/// The members of an object, and what was wrong with them as such.
#[derive(Default)]
pub struct Object {
    pub(super) members: Map<String, Value>,
    pub(super) faults: FieldErrors,
}

impl From<Map<String, Value>> for Object {
    fn from(members: Map<String, Value>) -> Self {
        Self { members, faults: FieldErrors::default() }
    }
}

impl Object {
    /// Reads a JSON text. With `known` all other members are passed over
    /// unread, however many and whatever is in them.
    ///
    /// # Errors
    /// 400 when it is no JSON or nested too deep, 422 when it is no object or
    /// has too many members.
    pub fn read(bytes: &[u8], known: Option<&[&str]>) -> Result<Self, Problem> {
        let reading = Reading { known, faults: RefCell::default(), refusal: Cell::new(None) };
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let whole = Part { reading: &reading, place: Place::Top, depth: 0 };
        let read = whole.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        match (read, reading.refusal.into_inner()) {
            (Ok(Value::Object(members)), _) => Ok(Self { members, faults: reading.faults.into_inner() }),
            (Ok(_), _) => Err(unfit("the body must be a JSON object")),
            (Err(_), Some(Refusal::Deep)) => {
                Err(Problem::malformed(format!("the body is nested deeper than {MAX_DEPTH} levels")))
            }
            (Err(_), Some(Refusal::Wide)) => {
                Err(unfit(format!("an object in the body has more than {MAX_MEMBERS} members")))
            }
            (Err(error), None) if error.is_eof() && bytes.is_empty() => {
                Err(Problem::malformed("the body is missing: send a JSON object"))
            }
            (Err(error), None) => Err(Problem::malformed(format!(
                "the body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ))),
        }
    }

    /// The fields of a form.
    ///
    /// # Errors
    /// 422 when there are too many.
    pub(super) fn of_form(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut object = Self::default();
        for (name, value) in pairs {
            if object.members.contains_key(&name) {
                object.faults.push(&name, GIVEN_TWICE);
            } else if object.members.len() == MAX_MEMBERS {
                return Err(unfit(format!("the form has more than {MAX_MEMBERS} fields")));
            } else {
                object.members.insert(name, Value::String(value));
            }
        }
        Ok(object)
    }
}

fn unfit(detail: impl Into<String>) -> Problem {
    Problem { detail: detail.into(), ..Problem::invalid(FieldErrors::default()) }
}

/// Why reading was given up.
#[derive(Clone, Copy)]
enum Refusal {
    Deep,
    Wide,
}

/// One body that is being read.
struct Reading<'a> {
    known: Option<&'a [&'a str]>,
    faults: RefCell<FieldErrors>,
    refusal: Cell<Option<Refusal>>,
}

impl Reading<'_> {
    fn give_up<E: serde::de::Error>(&self, refusal: Refusal) -> E {
        self.refusal.set(Some(refusal));
        E::custom("given up")
    }
}

/// Where a value stands, for the names of faults.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Member(Place::Top, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value that is being read.
struct Part<'a> {
    reading: &'a Reading<'a>,
    place: Place<'a>,
    /// Objects and arrays around it.
    depth: usize,
}

impl Part<'_> {
    /// The depth of what is in it.
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH { Err(self.reading.give_up(Refusal::Deep)) } else { Ok(self.depth + 1) }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        loop {
            let place = Place::Item(&self.place, items.len());
            match array.next_element_seed(Part { reading: self.reading, place, depth })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let known = self.reading.known.filter(|_| self.depth == 0);
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if known.is_some_and(|known| !known.contains(&name.as_str())) {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = Place::Member(&self.place, &name);
            let value = object.next_value_seed(Part { reading: self.reading, place, depth })?;
            if members.contains_key(&name) {
                self.reading.faults.borrow_mut().push(&place.to_string(), GIVEN_TWICE);
            } else if members.len() == MAX_MEMBERS {
                return Err(self.reading.give_up(Refusal::Wide));
            } else {
                members.insert(name, value);
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Object, Problem> {
        Object::read(text.as_bytes(), None)
    }

    fn faults(object: Object) -> Vec<String> {
        object.faults.listed().unwrap_or_default().into_iter().map(|error| error.field).collect()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            any::<u64>().prop_map(|number| json!(number)),
            any::<f64>()
                .prop_filter("a JSON number", |number| number.is_finite())
                .prop_map(|number| json!(number)),
            ".*".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                proptest::collection::hash_map(".*", inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_has_no_fault_is_read_as_serde_json_reads_it(value in any_json()) {
            let text = json!({ "value": value }).to_string();
            let object = read(&text).unwrap();
            prop_assert!(object.faults.is_empty());
            prop_assert_eq!(Value::Object(object.members), serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn members_that_stand_there_twice_are_named_with_their_place() {
        let object =
            read(r#"{"a": 1, "b": [{"c": 1, "c": 2}, {"d": {"e": 1, "\u0065": 1}}], "a": 2}"#).unwrap();
        assert_eq!(object.members["a"], 1);
        assert_eq!(faults(object), ["b[0].c", "b[1].d.e", "a"]);
        assert!(faults(read(r#"{"a": {"c": 1}, "b": {"c": 1}}"#).unwrap()).is_empty());
    }

    #[test]
    fn an_object_of_too_many_members_is_refused_wherever_it_stands() {
        let object = |members: usize| {
            let members: Vec<_> = (0..members).map(|number| format!("\"{number}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let inner = |members| format!("{{\"items\":[{}]}}", object(members));
        assert_eq!(read(&object(MAX_MEMBERS)).unwrap().members.len(), MAX_MEMBERS);
        assert!(read(&inner(MAX_MEMBERS)).is_ok());
        for text in [object(MAX_MEMBERS + 1), inner(MAX_MEMBERS + 1)] {
            let problem = read(&text).err().unwrap();
            assert_eq!((problem.status.as_u16(), problem.errors.is_empty()), (422, true));
            assert!(problem.detail.contains("64 members"), "{}", problem.detail);
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        let problem = read(&nested(MAX_DEPTH + 1)).err().unwrap();
        assert_eq!(problem.status.as_u16(), 400);
        assert!(problem.detail.contains("8 levels"), "{}", problem.detail);
    }

    #[test]
    fn what_is_not_known_may_be_ignored_however_large_it_is() {
        let many: Vec<_> = (0..1000).map(|number| format!("\"x{number}\":0")).collect();
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let text = format!("{{\"a\":1,{},\"deep\":{deep},\"deep\":0,\"b\":2,\"a\":3}}", many.join(","));
        let object = Object::read(text.as_bytes(), Some(&["a", "b"])).unwrap();
        assert_eq!(Value::Object(object.members.clone()), json!({ "a": 1, "b": 2 }));
        assert_eq!(faults(object), ["a"]);
    }

    #[test]
    fn form_fields_that_stand_there_twice_are_named_and_their_number_is_bounded() {
        let pairs = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        assert_eq!(faults(Object::of_form(pairs(&["a", "b", "a"])).unwrap()), ["a"]);
        let many = |count| (0..count).map(|number: usize| (number.to_string(), String::new())).collect();
        assert!(Object::of_form(many(MAX_MEMBERS)).is_ok());
        assert_eq!(Object::of_form(many(MAX_MEMBERS + 1)).err().unwrap().status.as_u16(), 422);
    }
}
