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
}

impl Program {
    const ALL: [Self; 4] = [Self::RotaClient, Self::Mender, Self::MenderUpdate, Self::MenderAuth];

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
        }
    }

    /// What `--help` prints.
    pub(super) fn usage(self) -> String {
        const UPDATE: &str = include_str!("usage/update.txt");
        const AUTH: &str = include_str!("usage/auth.txt");
        const OPTIONS: &str = include_str!("usage/options.txt");

        let commands: &[&str] = match self {
            Self::RotaClient | Self::Mender => &[UPDATE, AUTH],
            Self::MenderUpdate => &[UPDATE],
            Self::MenderAuth => &[DAEMON_OF_AUTH, AUTH],
        };
        let name = self.name();
        let commands = commands.concat();
        format!("Usage: {name} [options] <command>\n\nCommands\n{commands}\n{OPTIONS}")
    }
}

const DAEMON_OF_AUTH: &str = "  \
  daemon                Wait; updates' daemon authenticates by itself\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_it_is_called() {
        for (name, program) in [
            ("/usr/bin/mender-update", Program::MenderUpdate),
            ("mender-auth", Program::MenderAuth),
            ("./mender", Program::Mender),
            ("/usr/bin/rota-client", Program::RotaClient),
            ("rota-client-0.1", Program::RotaClient),
            ("", Program::RotaClient),
        ] {
            assert_eq!(Program::called_as(name.as_ref()), program, "{name}");
        }
    }
}
