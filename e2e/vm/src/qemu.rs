//! The virtual machine: an ordinary PC with an `NVMe` disk, a network and a watchdog.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rota_e2e::process::Program;

use crate::tools::find;

/// How instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// By the processor.
    Kvm,
    /// By QEMU, which is several times slower.
    Tcg,
}

impl Accelerator {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // The plainest processor that has random numbers and AES.
            Self::Tcg => ["-accel", "tcg", "-cpu", "Nehalem,+rdrand,+aes,+pclmulqdq"],
        }
    }
}

/// A machine's hardware.
pub(crate) struct Hardware<'a> {
    pub(crate) accelerator: Accelerator,
    /// Where its disk is served.
    pub(crate) disk: &'a Path,
    /// Where its serial line is written to.
    pub(crate) console: PathBuf,
    /// The last two digits of its network address, in hexadecimal.
    pub(crate) number: u8,
}

/// QEMU with this hardware; what it prints goes to a log in `folder`.
pub(crate) fn qemu(hardware: &Hardware<'_>, folder: &Path) -> Result<Program> {
    let Hardware { accelerator, disk, console, number } = hardware;
    let path = find("qemu-system-x86_64", "qemu-system-x86")?;
    let mut program = Program::new("qemu", path, folder)
        .argument("-no-user-config")
        .argument("-nodefaults")
        .flag("-machine", "pc")
        .flag("-m", "256")
        .flag("-display", "none")
        .flag("-chardev", format!("file,id=console,path={},append=on", console.display()))
        .flag("-serial", "chardev:console")
        .flag(
            "-blockdev",
            format!("driver=nbd,node-name=disk,server.type=unix,server.path={}", disk.display()),
        )
        .flag("-device", "nvme,drive=disk,serial=rota,bootindex=0")
        .flag("-netdev", "user,id=network")
        .flag(
            "-device",
            format!("virtio-net-pci,netdev=network,romfile=,mac=52:54:00:00:00:{number:02x}"),
        )
        .flag("-device", "i6300esb")
        .flag("-action", "watchdog=reset");
    for argument in accelerator.arguments() {
        program = program.argument(argument);
    }
    Ok(program)
}
