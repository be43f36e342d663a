use chrono::TimeDelta;
use rota_types::{AuthSetId, DeviceId, Permission, SessionId, TenantId, UserId};

use super::*;
use crate::{Machine, Person, SigningKeys};

fn keys() -> SigningKeys {
    SigningKeys::from_pem(&SigningKeys::generate_pem().unwrap()).unwrap()
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn device() -> DeviceClaims {
    let machine = Machine {
        tenant: TenantId::mint(),
        tenant_epoch: 2,
        device: DeviceId::mint(),
        auth_set: AuthSetId::mint(),
        epoch: 3,
    };
    DeviceClaims::new(machine, start(), TimeDelta::hours(24))
}

fn user(lifetime: Option<TimeDelta>) -> UserClaims {
    let person = Person {
        tenant: TenantId::mint(),
        user: UserId::mint(),
        email: "a@example.com".to_owned(),
        permissions: vec![Permission::Manage],
        epoch: 1,
    };
    UserClaims::new(SessionId::mint(), person, start(), lifetime)
}

#[test]
fn what_was_minted_is_read_back_the_second_time_too() {
    let keys = keys();
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys.key_set());
    let claims = device();
    let token = keys.mint_device(&claims);
    assert_eq!(*verifier.verify(&token, start()).unwrap(), claims);
    assert_eq!(*verifier.verify(&token, start()).unwrap(), claims);

    let verifier = TokenVerifier::<UserClaims>::with_keys(keys.key_set());
    let claims = user(None);
    assert_eq!(*verifier.verify(&keys.mint_user(&claims), start()).unwrap(), claims);
}

#[test]
fn the_claims_have_the_names_that_programs_know() {
    let token = keys().mint_device(&device());
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["iss"], "Mender");
    assert_eq!(claims["mender.device"], true);
    assert_eq!(claims["mender.plan"], "enterprise");
    assert_eq!(claims["mender.trial"], false);
    assert_eq!(claims["mender.addons"][0]["enabled"], true);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 86_400);

    let token = keys().mint_user(&user(None));
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["iss"], "mender.useradm");
    assert_eq!(claims["scp"], "mender.*");
    assert_eq!(claims["mender.user"], true);
    assert!(claims.get("exp").is_none());
}

#[test]
fn a_token_expires_even_when_it_is_known() {
    let keys = keys();
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys.key_set());
    let token = keys.mint_device(&device());
    let end = start() + TimeDelta::hours(24);
    assert!(verifier.verify(&token, end - TimeDelta::seconds(1)).is_ok());
    assert_eq!(verifier.verify(&token, end), Err(TokenError::Expired));
}

#[test]
fn a_token_of_the_future_is_refused() {
    let keys = keys();
    let verifier = TokenVerifier::<UserClaims>::with_keys(keys.key_set());
    let token = keys.mint_user(&user(Some(TimeDelta::hours(1))));
    assert_eq!(
        verifier.verify(&token, start() - TimeDelta::seconds(61)),
        Err(TokenError::NotYetValid)
    );
    assert!(verifier.verify(&token, start() - TimeDelta::seconds(30)).is_ok());
    assert_eq!(verifier.verify(&token, start() + TimeDelta::hours(1)), Err(TokenError::Expired));
}

#[test]
fn a_changed_token_proves_nothing() {
    let keys = keys();
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys.key_set());
    let token = keys.mint_device(&device());
    let other = keys.mint_device(&device());
    assert!(verifier.verify(&token, start()).is_ok());
    let (message, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let mixed = format!("{message}.{signature}");
    assert_eq!(verifier.verify(&mixed, start()), Err(TokenError::BadSignature));
    let cut = &token[..token.len() - 1];
    assert!(verifier.verify(cut, start()).is_err());
}

#[test]
fn kinds_are_not_mixed_up() {
    let keys = keys();
    let devices = TokenVerifier::<DeviceClaims>::with_keys(keys.key_set());
    let users = TokenVerifier::<UserClaims>::with_keys(keys.key_set());
    let device = keys.mint_device(&device());
    let user = keys.mint_user(&user(None));
    assert_eq!(devices.verify(&user, start()), Err(TokenError::WrongKind));
    assert_eq!(users.verify(&device, start()), Err(TokenError::WrongKind));
}

#[test]
fn a_foreign_key_is_unknown_and_a_removed_one_becomes_so() {
    let (ours, foreign) = (keys(), keys());
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(ours.key_set());
    let token = foreign.mint_device(&device());
    assert_eq!(verifier.verify(&token, start()), Err(TokenError::UnknownKey));

    let token = ours.mint_device(&device());
    assert!(verifier.verify(&token, start()).is_ok());
    verifier.set_keys(foreign.key_set());
    assert_eq!(verifier.verify(&token, start()), Err(TokenError::UnknownKey));
    assert!(!TokenVerifier::<DeviceClaims>::new().has_keys());
}

#[test]
fn other_algorithms_are_malformed() {
    let keys = keys();
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys.key_set());
    let token = keys.mint_device(&device());
    let (_, rest) = token.split_once('.').unwrap();
    for alg in ["none", "HS256", "ES256"] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{}"}}"#, keys.key_id());
        let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(verifier.verify(&forged, start()), Err(TokenError::Malformed), "{alg}");
    }
}

#[test]
fn nonsense_is_malformed_and_long_nonsense_is_not_looked_at() {
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys().key_set());
    for nonsense in ["", ".", "..", "...", "a.b.c", "é.é.é", "e30.e30.e30"] {
        assert_eq!(verifier.verify(nonsense, start()), Err(TokenError::Malformed), "{nonsense}");
    }
    let long = "a.".repeat(MAX_TOKEN_BYTES);
    assert_eq!(verifier.verify(&long, start()), Err(TokenError::Malformed));
}

#[test]
fn the_cache_is_bounded() {
    let verifier = TokenVerifier::<DeviceClaims>::with_keys(keys().key_set());
    let claims = Arc::new(device());
    for number in 0..SHARDS * HALF * 4 {
        verifier.remember(&format!("token {number}"), &claims);
    }
    let held: usize = verifier
        .shards
        .iter()
        .map(|shard| shard.read().unwrap())
        .map(|shard| shard.young.len() + shard.old.len())
        .sum();
    assert!(held <= SHARDS * HALF * 2, "{held}");
}
