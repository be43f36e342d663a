//! `io.mender.UpdateManager`: programs on the device hold updates, as with Mender's client 2.7 to 3.x.

use zbus::{fdo, interface};

use crate::{
    control::LocalMaps,
    log::{Log, chain},
};

pub(super) const NAME: &str = "io.mender.UpdateManager";
pub(super) const PATH: &str = "/io/mender/UpdateManager";

/// What the bus sees.
pub(super) struct UpdateManager {
    maps: LocalMaps,
    log: Log,
}

impl UpdateManager {
    pub(super) fn new(maps: LocalMaps, log: Log) -> Self {
        Self { maps, log }
    }
}

#[interface(name = "io.mender.Update1")]
impl UpdateManager {
    /// Sets a map; gives the seconds after which it must be set again in order to stay.
    fn set_update_control_map(&self, update_control_map: &str) -> fdo::Result<i32> {
        let renewal = self.maps.set(update_control_map).map_err(|error| {
            let error = chain(&error);
            self.log.warning(format_args!("a control map from D-Bus is refused: {error}"));
            fdo::Error::InvalidArgs(error)
        })?;
        Ok(i32::try_from(renewal.as_secs()).unwrap_or(i32::MAX))
    }
}
