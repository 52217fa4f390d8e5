//! The part of a character that is kept packed.

/// Most runs of bytes that one character keeps.
pub const RUNS_MAX: usize = 8;

/// The runs of bytes that stay the same while actions touch fresh fields only.
///
/// Most intents change a few numbers. The rest (names, gear, derived values) is nine tenths of an answer, so it is
/// packed once and copied.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    ends: [u32; RUNS_MAX],
    runs: u8,
}

impl Kept {
    /// Returns true if the runs must be packed before they are used.
    pub const fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// Drops all runs, because they no longer match the character.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs = 0;
    }

    /// Packs one more run.
    ///
    /// # Panics
    ///
    /// If there are [`RUNS_MAX`] already.
    pub fn keep(&mut self, pack: impl FnOnce(&mut Vec<u8>)) {
        pack(&mut self.bytes);
        self.ends[usize::from(self.runs)] = u32::try_from(self.bytes.len()).expect("no character has 4 GiB");
        self.runs += 1;
    }

    /// The runs, in the order in which they were kept.
    pub fn runs(&self) -> Runs<'_> {
        Runs { kept: self, next: 0, begin: 0 }
    }
}

/// The runs of a character, each copied once.
#[derive(Debug)]
pub struct Runs<'a> {
    kept: &'a Kept,
    next: usize,
    begin: usize,
}

impl Runs<'_> {
    /// Appends the next run.
    #[inline]
    pub fn copy(&mut self, out: &mut Vec<u8>) {
        let end = self.kept.ends[self.next] as usize;
        out.extend_from_slice(&self.kept.bytes[self.begin..end]);
        (self.next, self.begin) = (self.next + 1, end);
    }
}
