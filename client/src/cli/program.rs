//! The names that the program answers to. Called as one of Mender's programs it is that program:
//! scripts and units that call those keep working.

use std::{ffi::OsStr, path::Path};

/// What the program was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// All commands.
    RotaClient,
    /// All commands: Mender's client up to version 3.
    Mender,
    MenderUpdate,
    MenderAuth,
    MenderFlash,
    MenderSetup,
    MenderSnapshot,
}

impl Program {
    const ALL: [Self; 7] = [
        Self::RotaClient,
        Self::Mender,
        Self::MenderUpdate,
        Self::MenderAuth,
        Self::MenderFlash,
        Self::MenderSetup,
        Self::MenderSnapshot,
    ];

    /// By the first word of the command line; any other name gets all commands.
    pub(super) fn called_as(name: &OsStr) -> Self {
        let name = Path::new(name).file_name();
        let found = Self::ALL.into_iter().find(|program| name == Some(program.name().as_ref()));
        found.unwrap_or(Self::RotaClient)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RotaClient => "rota-client",
            Self::Mender => "mender",
            Self::MenderUpdate => "mender-update",
            Self::MenderAuth => "mender-auth",
            Self::MenderFlash => "mender-flash",
            Self::MenderSetup => "mender-setup",
            Self::MenderSnapshot => "mender-snapshot",
        }
    }

    /// What `--help` prints.
    pub(super) fn usage(self) -> String {
        const UPDATE: &str = include_str!("usage/update.txt");
        const AUTH: &str = include_str!("usage/auth.txt");
        const AUTH_DAEMON: &str = include_str!("usage/auth_daemon.txt");
        const SETUP: &str = include_str!("usage/setup.txt");
        const SNAPSHOT: &str = include_str!("usage/snapshot.txt");
        const FLASH: &str = include_str!("usage/flash.txt");
        const OPTIONS: &str = include_str!("usage/options.txt");

        let commands = match self {
            Self::RotaClient | Self::Mender => [UPDATE, AUTH, SETUP, SNAPSHOT].concat(),
            Self::MenderUpdate => UPDATE.to_owned(),
            Self::MenderAuth => [AUTH_DAEMON, AUTH].concat(),
            Self::MenderSetup => SETUP.to_owned(),
            Self::MenderSnapshot => SNAPSHOT.to_owned(),
            Self::MenderFlash => return FLASH.to_owned(),
        };
        let name = self.name();
        let command = if self == Self::MenderSetup { "" } else { " <command>" };
        format!("Usage: {name} [options]{command}\n\nCommands\n{commands}\n{OPTIONS}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_it_is_called() {
        for (name, program) in [
            ("/usr/bin/mender-update", Program::MenderUpdate),
            ("mender-auth", Program::MenderAuth),
            ("./mender", Program::Mender),
            ("mender-setup", Program::MenderSetup),
            ("mender-flash", Program::MenderFlash),
            ("/usr/bin/rota-client", Program::RotaClient),
            ("rota-client-0.1", Program::RotaClient),
            ("", Program::RotaClient),
        ] {
            assert_eq!(Program::called_as(name.as_ref()), program, "{name}");
        }
    }
}
