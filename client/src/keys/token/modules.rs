//! Modules and their tokens: sessions, PINs, and the objects that keys are.
//!
//! Each use of a key opens a session, and closes it. So a token may go and come back, and nothing
//! of it is remembered but a PIN that it has refused: after a few of those it would lock itself.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
use ring::digest::{SHA256, digest};

use super::{Public, TokenError, uri::Address};
use crate::der::{self, Spki};

/// The modules of this process. A module can only be loaded once.
#[derive(Default)]
pub(super) struct Modules {
    loaded: Vec<(PathBuf, Pkcs11)>,
    /// Checksums of tokens with PINs that they did not take.
    refused: Vec<Vec<u8>>,
}

/// A private key in a token, with an open session.
struct Found {
    session: Session,
    slot: Slot,
    key: ObjectHandle,
}

impl Modules {
    /// What a key can do, and its public half.
    pub(super) fn inspect(&mut self, address: &Address) -> Result<Public, TokenError> {
        self.with_key(address, |module, found| {
            let mechanisms = module.get_mechanism_list(found.slot)?;
            let can_pss = mechanisms.contains(&MechanismType::RSA_PKCS_PSS);
            let (kind, key) = public_half(found)?;
            Ok(Public { kind, key, can_pss })
        })
    }

    /// Signs, with the key and the mechanism's own form of signature.
    pub(super) fn sign(
        &mut self,
        address: &Address,
        mechanism: &Mechanism<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        self.with_key(address, |_, found| Ok(found.session.sign(mechanism, found.key, input)?))
    }

    /// A module that is in trouble is unloaded, so that the next request starts from nothing. So is
    /// one without the token: many look for tokens only when they are loaded.
    fn with_key<T>(
        &mut self,
        address: &Address,
        work: impl FnOnce(&Pkcs11, &Found) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let path = address.module(|name| std::env::var_os(name).map(PathBuf::from));
        let module = self.load(&path)?;
        let outcome = self.find(&module, address).and_then(|found| work(&module, &found));
        if let Err(TokenError::Module(_) | TokenError::NoToken) = outcome {
            self.loaded.retain(|(loaded, _)| *loaded != path);
            // Whether it says goodbye well is no matter.
            let _ = module.finalize();
        }
        outcome
    }

    fn load(&mut self, path: &Path) -> Result<Pkcs11, TokenError> {
        if let Some((_, module)) = self.loaded.iter().find(|(loaded, _)| loaded == path) {
            return Ok(module.clone());
        }
        let failed = |source| TokenError::Load { path: path.display().to_string(), source };
        let module = Pkcs11::new(path).map_err(failed)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        self.loaded.push((path.to_owned(), module.clone()));
        Ok(module)
    }

    /// The key, in the first token that has one like it.
    fn find(&mut self, module: &Pkcs11, address: &Address) -> Result<Found, TokenError> {
        let pin = address.pin()?;
        let mut is_token_there = false;
        for slot in module.get_slots_with_token()? {
            if address.slot.is_some_and(|wanted| wanted != slot.id()) {
                continue;
            }
            // One broken token must not hide another.
            let Ok(token) = module.get_token_info(slot) else { continue };
            if !token.token_initialized() || !is_meant(address, &token) {
                continue;
            }
            is_token_there = true;
            let session = module.open_ro_session(slot)?;
            self.log_in(&session, &token, pin.as_deref())?;
            let keys = session.find_objects(&template(address, ObjectClass::PRIVATE_KEY))?;
            match *keys {
                [] => {}
                [key] => return Ok(Found { session, slot, key }),
                _ => return Err(TokenError::SeveralKeys),
            }
        }
        if !is_token_there {
            return Err(TokenError::NoToken);
        }
        Err(if pin.is_none() { TokenError::NoKeyWithoutPin } else { TokenError::NoKey })
    }

    fn log_in(
        &mut self,
        session: &Session,
        token: &TokenInfo,
        pin: Option<&str>,
    ) -> Result<(), TokenError> {
        let Some(pin) = pin else { return Ok(()) };
        let sum = digest(&SHA256, format!("{}\n{pin}", token.serial_number()).as_bytes());
        let sum = sum.as_ref().to_vec();
        if self.refused.contains(&sum) {
            return Err(TokenError::PinRefusedBefore);
        }
        if token.user_pin_locked() || token.user_pin_final_try() {
            return Err(TokenError::PinLocked);
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
                self.refused.push(sum);
                Err(TokenError::PinRefused(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_meant(address: &Address, token: &TokenInfo) -> bool {
    [
        (&address.token, token.label()),
        (&address.manufacturer, token.manufacturer_id()),
        (&address.model, token.model()),
        (&address.serial, token.serial_number()),
    ]
    .into_iter()
    .all(|(wanted, found)| wanted.as_ref().is_none_or(|wanted| wanted == found))
}

fn template(address: &Address, class: ObjectClass) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(address.object.clone().map(Attribute::Label));
    template.extend(address.id.clone().map(Attribute::Id));
    template
}

/// The key's kind and its public half, as a `SubjectPublicKeyInfo` wants it.
fn public_half(found: &Found) -> Result<(Spki, Vec<u8>), TokenError> {
    let key_type = found.session.get_attributes(found.key, &[AttributeType::KeyType])?;
    match *key_type {
        [Attribute::KeyType(KeyType::RSA)] => {
            let modulus = public_part(found, AttributeType::Modulus)?;
            let exponent = public_part(found, AttributeType::PublicExponent)?;
            let public = der::rsa_public(&modulus, &exponent).ok_or(TokenError::Unsupported)?;
            Ok((Spki::Rsa, public))
        }
        [Attribute::KeyType(KeyType::EC | KeyType::EC_EDWARDS)] => {
            let curve = public_part(found, AttributeType::EcParams)?;
            let kind = der::curve(&curve).ok_or(TokenError::Unsupported)?;
            let point = public_part(found, AttributeType::EcPoint)?;
            // The standard wraps it, and some tokens do not.
            let point = der::octet_string(&point).map(<[u8]>::to_vec).unwrap_or(point);
            Ok((kind, point))
        }
        _ => Err(TokenError::Unsupported),
    }
}

/// An attribute that the private key has, or else the public key beside it.
fn public_part(found: &Found, kind: AttributeType) -> Result<Vec<u8>, TokenError> {
    let Found { session, key, .. } = found;
    if let Some(bytes) = bytes(session, *key, kind)? {
        return Ok(bytes);
    }
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    if let Some(id) = bytes(session, *key, AttributeType::Id)? {
        template.push(Attribute::Id(id));
    } else {
        let label = bytes(session, *key, AttributeType::Label)?;
        template.push(Attribute::Label(label.ok_or(TokenError::NoPublicHalf)?));
    }
    let public = session.find_objects(&template)?.first().copied();
    let public = public.ok_or(TokenError::NoPublicHalf)?;
    bytes(session, public, kind)?.ok_or(TokenError::NoPublicHalf)
}

/// An attribute that is made of bytes; `None` where it is missing or empty.
fn bytes(
    session: &Session,
    object: ObjectHandle,
    kind: AttributeType,
) -> Result<Option<Vec<u8>>, TokenError> {
    let found =
        session.get_attributes(object, &[kind])?.into_iter().find_map(|found| match found {
            Attribute::Modulus(bytes)
            | Attribute::PublicExponent(bytes)
            | Attribute::EcParams(bytes)
            | Attribute::EcPoint(bytes)
            | Attribute::Id(bytes)
            | Attribute::Label(bytes) => Some(bytes),
            _ => None,
        });
    Ok(found.filter(|bytes| !bytes.is_empty()))
}
