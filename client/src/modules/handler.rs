//! Who installs a payload: an executable on this device, or else the client itself.

use rota_artifact::Reader;

use super::{InstallError, ModuleSettings, Source, exec::Module, stream, tree::WorkTree};
use crate::{
    log::Log,
    machine::{Call, RebootNeed},
    payloads::{self, Payload, Workplace},
    wake::Wake,
};

/// Installs one type of payload.
pub(super) enum Handler<'a> {
    Module(Module<'a>),
    BuiltIn(Box<dyn Payload + 'a>),
}

impl<'a> Handler<'a> {
    /// An executable of the payload type's name comes first, so that a device can have its own.
    pub(super) fn find(
        payload_type: &str,
        settings: &'a ModuleSettings,
        (wake, log): (&'a Wake, &'a Log),
    ) -> Result<Self, InstallError> {
        if let Some(module) = Module::find(payload_type, settings, (wake, log))? {
            return Ok(Self::Module(module));
        }
        let ModuleSettings { modules, work_tree: tree, mark, limit, rootfs, containers, .. } =
            settings;
        let workplace = Workplace { tree, mark, limit: *limit, wake, log, rootfs, containers };
        payloads::find(payload_type, workplace).map(Self::BuiltIn).ok_or_else(|| {
            InstallError::NoModule { path: modules.join(payload_type).display().to_string() }
        })
    }

    /// Takes in the payload that comes next in the Artifact.
    pub(super) fn download(
        &mut self,
        reader: &mut Reader<Source>,
        tree: &WorkTree,
    ) -> Result<(), InstallError> {
        match self {
            Self::Module(module) => stream::download(reader, module, tree),
            Self::BuiltIn(payload) => payload
                .download(&mut reader.payload()?)
                .map_err(|error| InstallError::of_payload("Download", error)),
        }
    }

    pub(super) fn call(&mut self, call: Call) -> Result<(), InstallError> {
        match self {
            Self::Module(module) => module.call(call.as_str()),
            Self::BuiltIn(payload) => {
                payload.call(call).map_err(|error| InstallError::of_payload(call.as_str(), error))
            }
        }
    }

    pub(super) fn needs_reboot(&mut self) -> Result<RebootNeed, InstallError> {
        match self {
            Self::Module(module) => module.needs_reboot(),
            Self::BuiltIn(payload) => payload
                .needs_reboot()
                .map_err(|error| InstallError::of_payload("NeedsArtifactReboot", error)),
        }
    }

    pub(super) fn supports_rollback(&self) -> Result<bool, InstallError> {
        match self {
            Self::Module(module) => module.supports_rollback(),
            Self::BuiltIn(payload) => payload
                .supports_rollback()
                .map_err(|error| InstallError::of_payload("SupportsRollback", error)),
        }
    }
}
