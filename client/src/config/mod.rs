//! Settings and places: what `mender.conf` says, and where everything lies.
//!
//! The keys and the rules are those of Mender's clients: two files are merged, the later wins; keys
//! are matched without regard to case; unknown keys and values of the wrong type are ignored; a
//! broken file at its default place is a warning, one that was named on the command line an error.

mod edit;
mod keys;
mod load;
mod paths;
mod reader;

use std::{path::PathBuf, time::Duration};

pub use edit::{Changes, Config, EditError, write_device_type};
pub use load::{ConfigError, ConfigFile, ConfigFiles, load};
pub use paths::{DeviceKeyPlace, DeviceTypeError, Paths, read_device_type};

use crate::{keys::KeyPlace, log::Level, payloads::RootfsSettings, scripts::ScriptTimes};

/// Everything that can be set, with the defaults of Mender's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Tried in order at each authentication; without a slash at the end.
    pub servers: Vec<String>,
    /// PEM file whose certificates are trusted besides the system's.
    pub server_certificate: Option<PathBuf>,
    /// Do not verify servers at all.
    pub skip_verify: bool,
    /// TLS client certificate and its key.
    pub https_client: Option<HttpsClient>,
    /// A device key that is never replaced.
    pub auth_private_key: Option<KeyPlace>,
    /// Public keys, one of which must have signed every Artifact. `None` if nobody asked for
    /// signatures; an empty list, if somebody did in words that are not understood, installs
    /// nothing.
    pub artifact_verify_keys: Option<Vec<PathBuf>>,
    /// Keys of provides whose versions no Artifact may lower. Not a key of Mender's.
    pub downgrade_protection: Vec<String>,
    /// Whether add-ons get tokens over D-Bus, in builds that can.
    pub dbus_enabled: bool,
    pub tenant_token: Option<String>,
    pub device_type_file: Option<PathBuf>,
    /// `standard` or `micro`.
    pub device_tier: String,
    pub update_poll_interval: Duration,
    pub inventory_poll_interval: Duration,
    /// Where the pauses between retries stop growing.
    pub retry_poll_interval: Duration,
    /// Most retries; 0 derives the number from the interval.
    pub retry_poll_count: u32,
    pub retry_download_count: u32,
    /// A connection that brings nothing for so long is dead. Not a key of Mender's, whose client
    /// waits as long.
    pub connection_timeout: Duration,
    pub script_times: ScriptTimes,
    pub module_timeout: Duration,
    /// How long update control maps hold; twice the poll interval if not set.
    pub control_map_expiration: Option<Duration>,
    /// The same after the device was started, for maps from before.
    pub control_map_boot_expiration: Duration,
    /// How often the server's map is asked for during a deployment; the poll interval if not set.
    pub control_map_poll_interval: Option<Duration>,
    /// `RootfsPartA`, `RootfsPartB` and, not a key of Mender's, `BootLoader`.
    pub rootfs: RootfsSettings,
    /// Where deployment logs go, if not to the data store.
    pub update_log_path: Option<PathBuf>,
    pub log_level: Option<Level>,
    /// Program and arguments that restart the system. Not a key of Mender's.
    pub reboot_command: Vec<String>,
}

/// `HttpsClient` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsClient {
    /// PEM: the client's own certificate first, then those that lead to an authority.
    pub certificate: PathBuf,
    pub key: KeyPlace,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            servers: Vec::new(),
            server_certificate: None,
            skip_verify: false,
            https_client: None,
            auth_private_key: None,
            artifact_verify_keys: None,
            downgrade_protection: Vec::new(),
            dbus_enabled: true,
            tenant_token: None,
            device_type_file: None,
            device_tier: "standard".to_owned(),
            update_poll_interval: seconds(1800),
            inventory_poll_interval: seconds(28_800),
            retry_poll_interval: seconds(300),
            retry_poll_count: 0,
            retry_download_count: 10,
            connection_timeout: seconds(300),
            script_times: ScriptTimes {
                limit: seconds(3600),
                retry_interval: seconds(60),
                retry_limit: seconds(1800),
            },
            module_timeout: seconds(14_400),
            control_map_expiration: None,
            control_map_boot_expiration: seconds(600),
            control_map_poll_interval: None,
            rootfs: RootfsSettings::default(),
            update_log_path: None,
            log_level: None,
            reboot_command: vec!["reboot".to_owned()],
        }
    }
}
