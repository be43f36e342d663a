//! Signing keys, made with openssl.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rota_e2e::{process::Program, programs};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA with 3072 bits.
    Rsa,
    /// ECDSA on the curve P-256.
    P256,
}

/// A pair of keys in files (PEM).
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) private: PathBuf,
    pub(crate) public: PathBuf,
}

impl Keys {
    /// Makes a pair as `<folder>/<name>.key` and `<folder>/<name>.pem`.
    pub(crate) fn make(folder: &Path, name: &str, algorithm: Algorithm) -> Result<Self> {
        let private = folder.join(format!("{name}.key"));
        let public = folder.join(format!("{name}.pem"));
        // In the forms that mender-artifact reads: PKCS#1, and SEC 1.
        let generate = match algorithm {
            Algorithm::Rsa => openssl(folder)?
                .argument("genrsa")
                .argument("-traditional")
                .flag("-out", &private)
                .argument("3072"),
            Algorithm::P256 => openssl(folder)?
                .argument("ecparam")
                .argument("-genkey")
                .argument("-noout")
                .flag("-name", "prime256v1")
                .flag("-out", &private),
        };
        generate.run()?;
        let publish = openssl(folder)?.argument("pkey").argument("-pubout");
        publish.flag("-in", &private).flag("-out", &public).run()?;
        Ok(Self { private, public })
    }
}

fn openssl(folder: &Path) -> Result<Program> {
    Ok(Program::new("openssl", programs::theirs("openssl", "openssl")?, folder))
}
