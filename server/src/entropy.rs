//! Chance, taken at the edge and handed in.

/// Fills buffers with bytes that nobody can foresee; a plain function, so that tests can hand in their own.
#[derive(Debug, Clone, Copy)]
pub struct Entropy(fn(&mut [u8]));

impl Entropy {
    /// The machine's source of chance.
    pub const fn system() -> Self {
        Self(fill)
    }

    /// A source that fills as `fill` does.
    pub const fn from_fn(fill: fn(&mut [u8])) -> Self {
        Self(fill)
    }

    /// Fills a buffer.
    pub fn fill(self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }

    /// Some bytes.
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The one place where chance is taken from the machine.
fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("without randomness no secret can be made");
}
