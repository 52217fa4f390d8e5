//! Tokens of every kind that a server may not accept, made of the keys in its own database.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePrivateKey;
use serde_json::{Map, Value, json};
use sha2::Sha256;

/// What precedes a point of P-256 in a SubjectPublicKeyInfo (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A genuine token taken apart, and the key that signed it.
pub(super) struct Forge {
    genuine: String,
    refresh: String,
    header: Value,
    claims: Value,
    key: SigningKey,
    /// SEC 1, uncompressed.
    public_point: Vec<u8>,
}

impl Forge {
    /// `private_der` is the row of the key in the database.
    pub(super) fn new(login: &Value, private_der: &[u8]) -> Self {
        let text = |field: &str| login[field].as_str().expect("a token").to_owned();
        let secret = SecretKey::from_pkcs8_der(private_der).expect("the key in the database");
        let genuine = text("token");
        let part = |index| {
            let part = genuine.split('.').nth(index).expect("three parts");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("Base64")).expect("JSON")
        };
        Self {
            header: part(0),
            claims: part(1),
            refresh: text("refresh_token"),
            public_point: secret.public_key().to_encoded_point(false).as_bytes().to_vec(),
            key: SigningKey::from(secret),
            genuine,
        }
    }

    /// Signed with our key, with these changes to header and claims; null removes an entry.
    fn signed(&self, header: Value, claims: Value) -> String {
        self.signed_by(&self.key, header, claims)
    }

    fn signed_by(&self, key: &SigningKey, header: Value, claims: Value) -> String {
        let head = self.head(header, claims);
        let signature: Signature = key.sign(head.as_bytes());
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The part that is signed.
    fn head(&self, header: Value, claims: Value) -> String {
        let part = |value| URL_SAFE_NO_PAD.encode(value);
        format!("{}.{}", part(changed(&self.header, header)), part(changed(&self.claims, claims)))
    }

    /// Says `alg: HS256` and takes `secret` for the key, as a reader would that believes the header.
    fn hs256(&self, secret: &[u8]) -> String {
        let head = self.head(json!({"alg": "HS256"}), json!({}));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(head.as_bytes());
        format!("{head}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// As the server made it, only that its time was over before this test began.
    pub(super) fn expired(&self) -> String {
        self.signed(json!({}), json!({"iat": 1_700_000_000, "exp": 1_700_000_900}))
    }

    /// The same claims, signed with our key: shows that what the forgeries lack is not an accident of this file.
    pub(super) fn resigned(&self) -> String {
        self.signed(json!({}), json!({}))
    }

    /// Tokens that no server of this database has made, and why each could be taken for one.
    pub(super) fn forgeries(&self, other_user: &str) -> Vec<(&'static str, String)> {
        let [header, claims, signature] =
            <[&str; 3]>::try_from(self.genuine.split('.').collect::<Vec<_>>()).expect("three parts");
        let none = |name| format!("{}.", self.head(json!({"alg": name}), json!({})));
        let unsigned = |algorithm, bytes: &[u8]| {
            format!("{}.{}", self.head(json!({"alg": algorithm}), json!({})), URL_SAFE_NO_PAD.encode(bytes))
        };
        let borrowed =
            |claims| format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed(&self.claims, claims)));
        let spki = [&SPKI, self.public_point.as_slice()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
        let stranger = SigningKey::from(SecretKey::from_slice(&[7; 32]).expect("a key"));
        let point = stranger.verifying_key().to_encoded_point(false);
        let [x, y] = [point.x(), point.y()].map(|half| URL_SAFE_NO_PAD.encode(half.expect("a point")));
        let jwk = json!({"jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}});
        let kid = self.header["kid"].as_str().expect("a kid");
        vec![
            ("garbage", "nonsense".to_owned()),
            ("dots", "..".to_owned()),
            ("a refresh token", self.refresh.clone()),
            ("cut", self.genuine[..self.genuine.len() - 1].to_owned()),
            ("longer", format!("{}A", self.genuine)),
            ("twice", format!("{0}.{0}", self.genuine)),
            ("padded", format!("{}==", self.genuine)),
            ("far too long", "A".repeat(9_000)),
            (
                "a JSON serialisation",
                json!({"protected": header, "payload": claims, "signature": signature}).to_string(),
            ),
            ("no signature", format!("{header}.{claims}.")),
            ("a signature of zeros", format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
            ("another user, signed for this one", borrowed(json!({"sub": other_user}))),
            ("another role, signed for this one", borrowed(json!({"roles": ["game"]}))),
            ("another end, signed for this one", borrowed(json!({"exp": 9_000_000_000_u64}))),
            ("alg none", none("none")),
            ("alg None", none("None")),
            ("alg nOnE", none("nOnE")),
            ("alg empty", none("")),
            ("HS256 with the public point", self.hs256(&self.public_point)),
            ("HS256 with the public key", self.hs256(&spki)),
            ("HS256 with the public key as PEM", self.hs256(pem.as_bytes())),
            ("HS256 with the kid", self.hs256(kid.as_bytes())),
            ("HS256 with nothing", self.hs256(b"")),
            ("RS256", unsigned("RS256", &[1; 256])),
            ("ES384", unsigned("ES384", &[1; 96])),
            ("EdDSA", unsigned("EdDSA", &[1; 64])),
            ("RS256 over our signature", self.signed(json!({"alg": "RS256"}), json!({}))),
            ("another key", self.signed_by(&stranger, json!({}), json!({}))),
            ("another key, brought along", self.signed_by(&stranger, jwk, json!({}))),
            ("an unknown kid", self.signed(json!({"kid": "another"}), json!({}))),
            ("a kid that is a path", self.signed(json!({"kid": "../../dev/null"}), json!({}))),
            ("no kid", self.signed(json!({"kid": null}), json!({}))),
            ("a wrong issuer", self.signed(json!({}), json!({"iss": "https://elsewhere.example"}))),
            ("no issuer", self.signed(json!({}), json!({"iss": null}))),
            ("a wrong audience", self.signed(json!({}), json!({"aud": "elsewhere"}))),
            ("several audiences", self.signed(json!({}), json!({"aud": [self.claims["aud"], "elsewhere"]}))),
            ("no audience", self.signed(json!({}), json!({"aud": null}))),
            ("no user", self.signed(json!({}), json!({"sub": null}))),
            ("a user that is no id", self.signed(json!({}), json!({"sub": "ada"}))),
            ("no session", self.signed(json!({}), json!({"sid": null}))),
            ("an unknown role", self.signed(json!({}), json!({"roles": ["god"]}))),
            ("no role", self.signed(json!({}), json!({"roles": []}))),
            ("no end", self.signed(json!({}), json!({"exp": null}))),
            ("an end that is no number", self.signed(json!({}), json!({"exp": "never"}))),
            ("an end beyond all numbers", self.signed(json!({}), json!({"exp": i64::MAX}))),
        ]
    }
}

/// The JSON of an object with some entries replaced; null removes one.
fn changed(object: &Value, changes: Value) -> Vec<u8> {
    let (Value::Object(mut object), Value::Object(changes)) = (object.clone(), changes) else { panic!("objects") };
    object.extend(changes);
    let kept: Map<_, _> = object.into_iter().filter(|(_, value)| !value.is_null()).collect();
    Value::Object(kept).to_string().into_bytes()
}
