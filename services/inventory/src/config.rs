//! What can be set about devices' attributes.

use clap::Args;

/// The settings of inventory. The defaults are those of the flags, and of Mender (server API,
/// inventory semantics).
#[derive(Debug, Clone, Args)]
#[group(id = "inventory")]
pub struct Config {
    /// Attributes that a device may report.
    #[arg(long, env = "ROTA_MAX_DEVICE_ATTRIBUTES", default_value_t = 100, value_name = "NUMBER")]
    pub max_device_attributes: usize,
    /// Tags that a device may be given.
    #[arg(long, env = "ROTA_MAX_DEVICE_TAGS", default_value_t = 20, value_name = "NUMBER")]
    pub max_device_tags: usize,
    /// Up to so many devices that match, a search sorts by reading them, not the index. No
    /// flag: only tests want it otherwise.
    #[arg(skip = SORTED_IN_MEMORY)]
    pub sorted_in_memory: i64,
}

/// Where reading devices and reading the index of a large fleet cost about the same.
const SORTED_IN_MEMORY: i64 = 200;

impl Default for Config {
    fn default() -> Self {
        Self { max_device_attributes: 100, max_device_tags: 20, sorted_in_memory: SORTED_IN_MEMORY }
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
        let parsed = Program::parse_from(["inventory"]).config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }
}
