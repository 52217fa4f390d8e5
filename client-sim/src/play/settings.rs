//! The settings of a game played by hand, from the command line.

use castellan_client::BaseUrl;
use clap::Args;

use crate::codec::CodecName;
use crate::trust::TrustSettings;

#[derive(Debug, Args)]
pub(crate) struct PlaySettings {
    /// URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) server: BaseUrl,
    #[command(flatten)]
    pub(crate) trust: TrustSettings,
    /// Name of the account. If it does not exist, it is created, provided that the server allows it.
    #[arg(long, default_value = "player")]
    pub(crate) name: String,
    /// Password of the account.
    #[arg(long, env = "CASTELLAN_PASSWORD", hide_env_values = true, default_value = "correct horse battery")]
    pub(crate) password: String,
    /// Name of the character to play. A missing character is created. Default: the account's first character.
    #[arg(long)]
    pub(crate) character: Option<String>,
    /// Encoding of frames.
    #[arg(long, value_enum, default_value_t = CodecName::Msgpack)]
    pub(crate) codec: CodecName,
}
