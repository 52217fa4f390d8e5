//! MessagePack as a tree that can be written in any of its forms, and changed into what no honest client sends.

use castellan_srd::wire::limits::INTEGER_MAX;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// A MessagePack value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Nil,
    Flag(bool),
    Integer(i64),
    Double(f64),
    Float(f32),
    Text(Vec<u8>),
    Binary(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nil,
            Value::Bool(flag) => Self::Flag(*flag),
            Value::Number(number) => Self::Integer(number.as_i64().expect("client frames hold 64-bit integers only")),
            Value::String(text) => text.as_str().into(),
            Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Map(map.iter().map(|(key, value)| (key.as_str().into(), value.into())).collect())
            }
        }
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

/// Which of the possible forms to write, as the bytes of a seed say.
pub(crate) struct Forms<'a> {
    pub(crate) seed: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    /// Whether texts and maps may have 32-bit lengths, which are not read quickly.
    pub(crate) wide: bool,
}

impl Forms<'_> {
    fn pick(&mut self, choices: usize) -> usize {
        usize::from(*self.seed.next().expect("a seed has bytes")) % choices
    }

    /// Writes a length in one of the forms that have room for it.
    fn length(&mut self, length: usize, fixed: (usize, u8), markers: [Option<u8>; 3], out: &mut Vec<u8>) {
        let mut forms = Vec::new();
        if length < fixed.0 {
            forms.push(vec![fixed.1 | length as u8]);
        }
        if let (Some(marker), Ok(length)) = (markers[0], u8::try_from(length)) {
            forms.push(vec![marker, length]);
        }
        if let (Some(marker), Ok(length)) = (markers[1], u16::try_from(length)) {
            forms.push([&[marker][..], &length.to_be_bytes()].concat());
        }
        if let (Some(marker), true) = (markers[2], self.wide) {
            forms.push([&[marker][..], &(length as u32).to_be_bytes()].concat());
        }
        let pick = self.pick(forms.len());
        out.extend(&forms[pick]);
    }

    fn integer(&mut self, number: i64, out: &mut Vec<u8>) {
        let mut forms = Vec::new();
        let mut form = |marker: u8, bytes: &[u8]| forms.push([&[marker][..], bytes].concat());
        let _ = u8::try_from(number).map(|number| form(0xcc, &number.to_be_bytes()));
        let _ = u16::try_from(number).map(|number| form(0xcd, &number.to_be_bytes()));
        let _ = u32::try_from(number).map(|number| form(0xce, &number.to_be_bytes()));
        let _ = u64::try_from(number).map(|number| form(0xcf, &number.to_be_bytes()));
        let _ = i8::try_from(number).map(|number| form(0xd0, &number.to_be_bytes()));
        let _ = i16::try_from(number).map(|number| form(0xd1, &number.to_be_bytes()));
        let _ = i32::try_from(number).map(|number| form(0xd2, &number.to_be_bytes()));
        form(0xd3, &number.to_be_bytes());
        if (-32..=127).contains(&number) {
            form(number as u8, &[]);
        }
        let pick = self.pick(forms.len());
        out.extend(&forms[pick]);
    }

    /// Writes a tree; the entries of maps come in any order.
    pub(crate) fn write(&mut self, tree: &Tree, out: &mut Vec<u8>) {
        match tree {
            Tree::Nil => out.push(0xc0),
            Tree::Flag(flag) => out.push(0xc2 + u8::from(*flag)),
            Tree::Integer(number) => self.integer(*number, out),
            Tree::Double(number) => out.extend([&[0xcb][..], &number.to_be_bytes()].concat()),
            Tree::Float(number) => out.extend([&[0xca][..], &number.to_be_bytes()].concat()),
            Tree::Text(text) => {
                self.length(text.len(), (32, 0xa0), [Some(0xd9), Some(0xda), Some(0xdb)], out);
                out.extend(text);
            }
            Tree::Binary(bytes) => {
                self.length(bytes.len(), (0, 0), [Some(0xc4), Some(0xc5), Some(0xc6)], out);
                out.extend(bytes);
            }
            Tree::List(list) => {
                self.length(list.len(), (16, 0x90), [None, Some(0xdc), Some(0xdd)], out);
                list.iter().for_each(|element| self.write(element, out));
            }
            Tree::Map(entries) => {
                self.length(entries.len(), (16, 0x80), [None, Some(0xde), Some(0xdf)], out);
                let mut left: Vec<_> = entries.iter().collect();
                while !left.is_empty() {
                    let (key, value) = left.swap_remove(self.pick(left.len()));
                    self.write(key, out);
                    self.write(value, out);
                }
            }
        }
    }
}

/// What can happen to one place of a tree.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// An integer becomes a double, or a single, of the same value or a half more.
    Fraction { double: bool, half: bool },
    /// A text becomes binary.
    Binary,
    /// Something else stands there.
    Replace(Tree),
    /// A map gets one entry more.
    Add(Tree, Tree),
    /// A map's entry is there twice, the second time perhaps nil.
    Twice { entry: usize, nil: bool },
    /// A map loses an entry.
    Lose(usize),
}

impl Change {
    fn apply(&self, tree: &mut Tree) {
        match (self, &mut *tree) {
            (Self::Fraction { double, half }, Tree::Integer(number)) => {
                let value = *number as f64 + if *half { 0.5 } else { 0.0 };
                *tree = if *double { Tree::Double(value) } else { Tree::Float(value as f32) };
            }
            (Self::Binary, Tree::Text(text)) => *tree = Tree::Binary(text.clone()),
            (Self::Add(key, value), Tree::Map(entries)) => entries.push((key.clone(), value.clone())),
            (Self::Twice { entry, nil }, Tree::Map(entries)) if !entries.is_empty() => {
                let mut entry = entries[entry % entries.len()].clone();
                if *nil {
                    entry.1 = Tree::Nil;
                }
                entries.push(entry);
            }
            (Self::Lose(entry), Tree::Map(entries)) if !entries.is_empty() => {
                entries.remove(entry % entries.len());
            }
            (Self::Replace(other), _) => *tree = other.clone(),
            _ => {}
        }
    }
}

/// Changes the `place`-th value of a tree, counting from the outside in, and returns what is left to count.
pub(crate) fn change(tree: &mut Tree, place: usize, with: &Change) -> Option<usize> {
    let Some(mut left) = place.checked_sub(1) else {
        with.apply(tree);
        return None;
    };
    match tree {
        Tree::List(list) => {
            for element in list {
                left = change(element, left, with)?;
            }
        }
        Tree::Map(entries) => {
            for (key, value) in entries {
                left = change(key, left, with)?;
                left = change(value, left, with)?;
            }
        }
        _ => {}
    }
    Some(left)
}

/// Changes of every sort, made of the wire's own words and bounds.
pub(crate) fn changes() -> impl Strategy<Value = Change> {
    let words = ["intent", "ping", "id", "action", "after", "expect", "user", "long_rest", "delta", "critical", "x"];
    let bounds = [0, -1, INTEGER_MAX, INTEGER_MAX + 1, -INTEGER_MAX, -INTEGER_MAX - 1, i64::MIN, i64::MAX];
    let leaf = prop_oneof![
        Just(Tree::Nil),
        any::<bool>().prop_map(Tree::Flag),
        select(bounds.to_vec()).prop_map(Tree::Integer),
        select(words.to_vec()).prop_map(Tree::from),
        Just(Tree::Text(vec![0xff, 0xfe])),
        Just(Tree::List(vec![])),
        Just(Tree::Map(vec![])),
    ];
    prop_oneof![
        any::<(bool, bool)>().prop_map(|(double, half)| Change::Fraction { double, half }),
        Just(Change::Binary),
        leaf.clone().prop_map(Change::Replace),
        (leaf.clone(), leaf).prop_map(|(key, value)| Change::Add(key, value)),
        any::<(usize, bool)>().prop_map(|(entry, nil)| Change::Twice { entry, nil }),
        any::<usize>().prop_map(Change::Lose),
    ]
}
