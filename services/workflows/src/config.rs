//! What can be set about running jobs.

use std::num::NonZeroUsize;

use clap::Args;

/// The settings of workflows. The defaults are those of the flags.
#[derive(Debug, Clone, Args)]
#[group(id = "workflows")]
pub struct Config {
    /// Jobs that one process runs at the same time.
    #[arg(long, env = "ROTA_JOBS_AT_ONCE", default_value = "16", value_name = "NUMBER")]
    pub jobs_at_once: NonZeroUsize,
}

impl Default for Config {
    fn default() -> Self {
        Self { jobs_at_once: const { NonZeroUsize::new(16).expect("16 is not zero") } }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_flags_defaults_are_the_defaults() {
        let parsed = Program::parse_from(["workflows"]).config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        assert!(Program::try_parse_from(["workflows", "--jobs-at-once", "0"]).is_err());
    }
}
