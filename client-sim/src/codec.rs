//! The encodings by their names on the command line.

use castellan_srd::wire::Codec;
use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecName {
    /// MessagePack in binary messages.
    Msgpack,
    /// JSON in text messages.
    Json,
}

impl CodecName {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Msgpack => Codec::MessagePack,
            Self::Json => Codec::Json,
        }
    }
}
