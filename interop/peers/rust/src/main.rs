//! The official Rust SDK behind the protocol of ../../README.md.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io::{BufRead, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_esdk::aws_cryptography_primitives::types::EcdhCurveSpec;
use aws_esdk::client::Client;
use aws_esdk::key_store::client::Client as KeyStore;
use aws_esdk::key_store::types::key_store_config::KeyStoreConfig;
use aws_esdk::key_store::types::{Discovery, KmsConfiguration};
use aws_esdk::material_providers::client::Client as Providers;
use aws_esdk::material_providers::types::cryptographic_materials_manager::CryptographicMaterialsManagerRef;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{
    AesWrappingAlg, DiscoveryFilter, EphemeralPrivateKeyToStaticPublicKeyInput, EsdkAlgorithmSuiteId,
    EsdkCommitmentPolicy, KmsEcdhStaticConfigurations, KmsPrivateKeyToStaticPublicKeyInput, KmsPublicKeyDiscoveryInput,
    PaddingScheme, PublicKeyDiscoveryInput, RawEcdhStaticConfigurations, RawPrivateKeyToStaticPublicKeyInput,
};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use aws_sdk_kms::types::EncryptionAlgorithmSpec;
use aws_smithy_types::{base64, Blob};
use serde_json::{json, Value};
use tokio::runtime::{Builder, Runtime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LOCK: &str = include_str!("../Cargo.lock");

/// Errors of the SDK may hold all that it had at hand.
const LONGEST_ERROR: usize = 500;

/// What the SDK does not have.
#[derive(Debug)]
struct Unsupported(&'static str);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Unsupported {}

struct Peer {
    keys: Value,
    runtime: Runtime,
    aws: SdkConfig,
    providers: Providers,
}

impl Peer {
    fn new(keys: &str) -> Result<Peer> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(keys)?)?;
        // On a runtime of one thread the SDK makes another one for each call to AWS.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let aws = runtime.block_on(aws_config::load_defaults(BehaviorVersion::latest()));
        let providers = Providers::from_conf(MaterialProvidersConfig::builder().build()?)?;
        Ok(Peer { keys: manifest["keys"].clone(), runtime, aws, providers })
    }

    fn answer(&self, request: &Value) -> Result<Value> {
        if request["stream"].as_bool() == Some(true) {
            return Err(Box::new(Unsupported("no streams")));
        }
        if request["api"].as_str() == Some("master-key") {
            return Err(Box::new(Unsupported("no master key providers")));
        }
        match text(request, "op")? {
            "hello" => Ok(hello()),
            "encrypt" => self.encrypt(request),
            "decrypt" => self.decrypt(request),
            "store" => self.store(request),
            op => Err(format!("no operation {op:?}").into()),
        }
    }

    fn encrypt(&self, request: &Value) -> Result<Value> {
        if request["frame"].as_i64() == Some(0) {
            return Err(Box::new(Unsupported("writes no bodies without frames")));
        }
        let (suite, commits) = suite(request)?;
        let policy = if commits {
            EsdkCommitmentPolicy::RequireEncryptRequireDecrypt
        } else {
            EsdkCommitmentPolicy::ForbidEncryptAllowDecrypt
        };
        let encrypting = client(policy)?
            .encrypt()
            .algorithm_suite_id(suite)
            .set_frame_length(request["frame"].as_i64())
            .encryption_context(context(&request["context"])?)
            .materials_manager(self.cmm(&request["key"])?)
            .plaintext(std::fs::read(text(request, "in")?)?);
        let message = self.wait(encrypting.send())?.ciphertext.ok_or("no ciphertext")?;
        std::fs::write(text(request, "out")?, message)?;
        Ok(json!({}))
    }

    fn decrypt(&self, request: &Value) -> Result<Value> {
        let policy = if suite(request)?.1 {
            EsdkCommitmentPolicy::RequireEncryptRequireDecrypt
        } else {
            EsdkCommitmentPolicy::RequireEncryptAllowDecrypt
        };
        let decrypting = client(policy)?
            .decrypt()
            .encryption_context(context(&request["reproduced"])?)
            .materials_manager(self.cmm(&request["key"])?)
            .ciphertext(std::fs::read(text(request, "in")?)?);
        let output = self.wait(decrypting.send())?;
        std::fs::write(text(request, "out")?, output.plaintext.ok_or("no plaintext")?)?;
        Ok(json!({"context": output.encryption_context.ok_or("no encryption context")?}))
    }

    fn store(&self, request: &Value) -> Result<Value> {
        let store = self.key_store(request)?;
        match text(request, "action")? {
            "create" => {
                self.wait(store.create_key_store().send())?;
                Ok(json!({}))
            }
            "key" => {
                let made = self.wait(store.create_key().send())?;
                Ok(json!({"id": made.branch_key_identifier.ok_or("no id")?}))
            }
            "version" => {
                self.wait(store.version_key().branch_key_identifier(text(request, "id")?).send())?;
                Ok(json!({}))
            }
            "active" => {
                let id = text(request, "id")?;
                self.wait(store.get_beacon_key().branch_key_identifier(id).send())?;
                let active = self.wait(store.get_active_branch_key().branch_key_identifier(id).send())?;
                let materials = active.branch_key_materials.ok_or("no branch key")?;
                Ok(json!({"version": materials.branch_key_version.ok_or("no version")?}))
            }
            action => Err(format!("no action {action:?}").into()),
        }
    }

    fn cmm(&self, key: &Value) -> Result<CryptographicMaterialsManagerRef> {
        if key["type"].as_str() != Some("required-encryption-context-cmm") {
            let making = self.providers.create_default_cryptographic_materials_manager();
            return self.wait(making.keyring(self.keyring(key)?).send());
        }
        let making = self
            .providers
            .create_required_encryption_context_cmm()
            .underlying_cmm(self.cmm(&key["underlying"])?)
            .required_encryption_context_keys(texts(&key["requiredEncryptionContextKeys"])?);
        self.wait(making.send())
    }

    fn keyring(&self, key: &Value) -> Result<KeyringRef> {
        match text(key, "type")? {
            "raw" if key["encryption-algorithm"] == "aes" => self.raw_aes(key),
            "raw" if key["encryption-algorithm"] == "rsa" => self.raw_rsa(key),
            "raw-ecdh" => self.raw_ecdh(key),
            "multi-keyring" => self.multi(key),
            "aws-kms" => self.kms(key),
            "aws-kms-mrk-aware" => self.kms_mrk(key),
            "aws-kms-discovery" => self.kms_discovery(key),
            "aws-kms-mrk-aware-discovery" => self.kms_mrk_discovery(key),
            "aws-kms-rsa" => self.kms_rsa(key),
            "aws-kms-ecdh" => self.kms_ecdh(key),
            "branch-key" => self.hierarchical(key),
            kind => Err(format!("no key of type {kind:?}").into()),
        }
    }

    fn raw_aes(&self, key: &Value) -> Result<KeyringRef> {
        let entry = self.entry(key, "key")?;
        let material = base64::decode(text(entry, "material")?)?;
        let algorithm = match material.len() {
            16 => AesWrappingAlg::AlgAes128GcmIv12Tag16,
            24 => AesWrappingAlg::AlgAes192GcmIv12Tag16,
            32 => AesWrappingAlg::AlgAes256GcmIv12Tag16,
            n => return Err(format!("an AES key of {n} bytes").into()),
        };
        let making = self
            .providers
            .create_raw_aes_keyring()
            .key_namespace(text(key, "provider-id")?)
            .key_name(text(entry, "key-id")?)
            .wrapping_key(material)
            .wrapping_alg(algorithm);
        self.wait(making.send())
    }

    fn raw_rsa(&self, key: &Value) -> Result<KeyringRef> {
        let padding = match (text(key, "padding-algorithm")?, key["padding-hash"].as_str().unwrap_or("")) {
            ("pkcs1", _) => PaddingScheme::Pkcs1,
            ("oaep-mgf1", "sha1") => PaddingScheme::OaepSha1Mgf1,
            ("oaep-mgf1", "sha256") => PaddingScheme::OaepSha256Mgf1,
            ("oaep-mgf1", "sha384") => PaddingScheme::OaepSha384Mgf1,
            ("oaep-mgf1", "sha512") => PaddingScheme::OaepSha512Mgf1,
            other => return Err(format!("no padding {other:?}").into()),
        };
        let entry = self.entry(key, "key")?;
        let making = self
            .providers
            .create_raw_rsa_keyring()
            .key_namespace(text(key, "provider-id")?)
            .key_name(text(entry, "key-id")?)
            .padding_scheme(padding);
        let pem = text(entry, "material")?.as_bytes();
        self.wait(match text(entry, "type")? {
            "private" => making.private_key(pem).send(),
            "public" => making.public_key(pem).send(),
            kind => return Err(format!("an RSA key of type {kind:?}").into()),
        })
    }

    fn raw_ecdh(&self, key: &Value) -> Result<KeyringRef> {
        let recipient = self.entry(key, "recipient")?;
        let scheme = match text(key, "schema")? {
            "static" => RawEcdhStaticConfigurations::RawPrivateKeyToStaticPublicKey(
                RawPrivateKeyToStaticPublicKeyInput::builder()
                    .sender_static_private_key(text(self.entry(key, "sender")?, "sender-material")?.as_bytes())
                    .recipient_public_key(public_key(recipient)?)
                    .build()?,
            ),
            "ephemeral" => RawEcdhStaticConfigurations::EphemeralPrivateKeyToStaticPublicKey(
                EphemeralPrivateKeyToStaticPublicKeyInput::builder()
                    .recipient_public_key(public_key(recipient)?)
                    .build()?,
            ),
            "discovery" => RawEcdhStaticConfigurations::PublicKeyDiscovery(
                PublicKeyDiscoveryInput::builder()
                    .recipient_static_private_key(text(recipient, "recipient-material")?.as_bytes())
                    .build()?,
            ),
            schema => return Err(format!("no schema {schema:?}").into()),
        };
        let making = self.providers.create_raw_ecdh_keyring().curve_spec(curve(key)?).key_agreement_scheme(scheme);
        self.wait(making.send())
    }

    fn multi(&self, key: &Value) -> Result<KeyringRef> {
        let mut making = self.providers.create_multi_keyring();
        if !key["generator"].is_null() {
            making = making.generator(self.keyring(&key["generator"])?);
        }
        // The SDK wants a list of children, even if there are none.
        let children = key["childKeyrings"].as_array().map_or(&[][..], Vec::as_slice);
        let children = children.iter().map(|child| self.keyring(child)).collect::<Result<Vec<_>>>()?;
        self.wait(making.set_child_keyrings(Some(children)).send())
    }

    fn kms(&self, key: &Value) -> Result<KeyringRef> {
        let arn = text(self.entry(key, "key")?, "key-id")?;
        self.wait(self.providers.create_aws_kms_keyring().kms_key_id(arn).kms_client(self.kms_of(arn)?).send())
    }

    fn kms_mrk(&self, key: &Value) -> Result<KeyringRef> {
        let arn = text(self.entry(key, "key")?, "key-id")?;
        self.wait(self.providers.create_aws_kms_mrk_keyring().kms_key_id(arn).kms_client(self.kms_of(arn)?).send())
    }

    fn kms_discovery(&self, key: &Value) -> Result<KeyringRef> {
        let making = self
            .providers
            .create_aws_kms_discovery_keyring()
            .set_discovery_filter(filter(key)?)
            .kms_client(self.kms_in(text(key, "region")?));
        self.wait(making.send())
    }

    fn kms_mrk_discovery(&self, key: &Value) -> Result<KeyringRef> {
        let region = text(key, "default-mrk-region")?;
        let making = self
            .providers
            .create_aws_kms_mrk_discovery_keyring()
            .set_discovery_filter(filter(key)?)
            .region(region)
            .kms_client(self.kms_in(region));
        self.wait(making.send())
    }

    fn kms_rsa(&self, key: &Value) -> Result<KeyringRef> {
        let entry = self.entry(key, "key")?;
        let arn = text(entry, "key-id")?;
        let making = self
            .providers
            .create_aws_kms_rsa_keyring()
            .kms_key_id(arn)
            .kms_client(self.kms_of(arn)?)
            .encryption_algorithm(EncryptionAlgorithmSpec::from(text(key, "encryption-algorithm")?))
            .public_key(text(entry, "material")?.as_bytes());
        self.wait(making.send())
    }

    fn kms_ecdh(&self, key: &Value) -> Result<KeyringRef> {
        let recipient = self.entry(key, "recipient")?;
        let (arn, scheme) = match text(key, "schema")? {
            "static" => {
                let arn = text(self.entry(key, "sender")?, "sender-material")?;
                let input = KmsPrivateKeyToStaticPublicKeyInput::builder()
                    .sender_kms_identifier(arn)
                    .recipient_public_key(public_key(recipient)?)
                    .build()?;
                (arn, KmsEcdhStaticConfigurations::KmsPrivateKeyToStaticPublicKey(input))
            }
            "discovery" => {
                let arn = text(recipient, "recipient-material")?;
                let input = KmsPublicKeyDiscoveryInput::builder().recipient_kms_identifier(arn).build()?;
                (arn, KmsEcdhStaticConfigurations::KmsPublicKeyDiscovery(input))
            }
            schema => return Err(format!("no schema {schema:?}").into()),
        };
        let making = self
            .providers
            .create_aws_kms_ecdh_keyring()
            .curve_spec(curve(key)?)
            .key_agreement_scheme(scheme)
            .kms_client(self.kms_of(arn)?);
        self.wait(making.send())
    }

    fn hierarchical(&self, key: &Value) -> Result<KeyringRef> {
        let making = self
            .providers
            .create_aws_kms_hierarchical_keyring()
            .key_store(self.key_store(key)?)
            .branch_key_id(text(key, "id")?)
            .ttl_seconds(600);
        self.wait(making.send())
    }

    /// The key store that a request or a description names.
    fn key_store(&self, value: &Value) -> Result<KeyStore> {
        let (table, arn) = (text(value, "table")?, text(value, "kms")?);
        let (client, configuration) = if arn == "discovery" {
            (aws_sdk_kms::Client::new(&self.aws), KmsConfiguration::Discovery(Discovery::builder().build()?))
        } else {
            (self.kms_of(arn)?, KmsConfiguration::KmsKeyArn(arn.into()))
        };
        let config = KeyStoreConfig::builder()
            .ddb_table_name(table)
            .logical_key_store_name(table)
            .ddb_client(aws_sdk_dynamodb::Client::new(&self.aws))
            .kms_client(client)
            .kms_configuration(configuration)
            .build()?;
        Ok(KeyStore::from_conf(config)?)
    }

    fn kms_of(&self, arn: &str) -> Result<aws_sdk_kms::Client> {
        let region = arn.split(':').nth(3).ok_or_else(|| format!("{arn:?} is no ARN"))?;
        Ok(self.kms_in(region))
    }

    fn kms_in(&self, region: &str) -> aws_sdk_kms::Client {
        let config = self.aws.to_builder().region(Region::new(region.to_owned())).build();
        aws_sdk_kms::Client::new(&config)
    }

    /// The entry of the keys manifest that a field names.
    fn entry(&self, key: &Value, field: &str) -> Result<&Value> {
        let name = text(key, field)?;
        self.keys.get(name).ok_or_else(|| format!("no key {name:?}").into())
    }

    fn wait<T, E: Error + 'static>(&self, sent: impl Future<Output = std::result::Result<T, E>>) -> Result<T> {
        Ok(self.runtime.block_on(sent)?)
    }
}

fn hello() -> Value {
    let parts = ["aws-lc-rs", "aws-sdk-kms", "aws-sdk-dynamodb"].map(|name| format!("{name} {}", version(name)));
    json!({"name": "aws-encryption-sdk-rust", "version": version("aws-esdk"), "with": parts.join(", ")})
}

/// The version of a package in the lock file.
fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let rest = LOCK.split_once(name.as_str()).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("")
}

fn client(policy: EsdkCommitmentPolicy) -> Result<Client> {
    Ok(Client::from_conf(AwsEncryptionSdkConfig::builder().commitment_policy(policy).build()?)?)
}

/// The suite of a request, and whether it commits.
fn suite(request: &Value) -> Result<(EsdkAlgorithmSuiteId, bool)> {
    Ok(match text(request, "suite")? {
        "0014" => (EsdkAlgorithmSuiteId::AlgAes128GcmIv12Tag16NoKdf, false),
        "0046" => (EsdkAlgorithmSuiteId::AlgAes192GcmIv12Tag16NoKdf, false),
        "0078" => (EsdkAlgorithmSuiteId::AlgAes256GcmIv12Tag16NoKdf, false),
        "0114" => (EsdkAlgorithmSuiteId::AlgAes128GcmIv12Tag16HkdfSha256, false),
        "0146" => (EsdkAlgorithmSuiteId::AlgAes192GcmIv12Tag16HkdfSha256, false),
        "0178" => (EsdkAlgorithmSuiteId::AlgAes256GcmIv12Tag16HkdfSha256, false),
        "0214" => (EsdkAlgorithmSuiteId::AlgAes128GcmIv12Tag16HkdfSha256EcdsaP256, false),
        "0346" => (EsdkAlgorithmSuiteId::AlgAes192GcmIv12Tag16HkdfSha384EcdsaP384, false),
        "0378" => (EsdkAlgorithmSuiteId::AlgAes256GcmIv12Tag16HkdfSha384EcdsaP384, false),
        "0478" => (EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey, true),
        "0578" => (EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKeyEcdsaP384, true),
        id => return Err(format!("no suite {id:?}").into()),
    })
}

fn curve(key: &Value) -> Result<EcdhCurveSpec> {
    match text(key, "ecc-curve")? {
        "ecc-256" => Ok(EcdhCurveSpec::EccNistP256),
        "ecc-384" => Ok(EcdhCurveSpec::EccNistP384),
        "ecc-521" => Ok(EcdhCurveSpec::EccNistP521),
        name => Err(format!("no curve {name:?}").into()),
    }
}

fn public_key(recipient: &Value) -> Result<Blob> {
    Ok(base64::decode(text(recipient, "recipient-material-public-key")?)?.into())
}

fn filter(key: &Value) -> Result<Option<DiscoveryFilter>> {
    let filter = &key["aws-kms-discovery-filter"];
    if filter.is_null() {
        return Ok(None);
    }
    let built = DiscoveryFilter::builder()
        .partition(text(filter, "partition")?)
        .account_ids(texts(&filter["account-ids"])?)
        .build()?;
    Ok(Some(built))
}

fn context(pairs: &Value) -> Result<HashMap<String, String>> {
    if pairs.is_null() {
        return Ok(HashMap::new());
    }
    Ok(serde_json::from_value(pairs.clone())?)
}

fn texts(list: &Value) -> Result<Vec<String>> {
    Ok(serde_json::from_value(list.clone())?)
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().ok_or_else(|| format!("no text {field:?}").into())
}

/// One line that is not too long.
fn tell(e: &dyn Error) -> String {
    let line = e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_ERROR).collect()
}

fn respond(peer: &Peer, line: &str) -> Value {
    // Where the SDK gives up with a panic, the rest of the requests can still be answered.
    let answer = catch_unwind(AssertUnwindSafe(|| peer.answer(&serde_json::from_str(line)?)));
    match answer.unwrap_or_else(|_| Err("panic; see standard error".into())) {
        Ok(answer) => answer,
        Err(e) if e.is::<Unsupported>() => json!({"unsupported": e.to_string()}),
        Err(e) => json!({"error": tell(e.as_ref())}),
    }
}

fn main() -> Result<()> {
    let keys = std::env::args().nth(1).ok_or("usage: esdk-interop-peer KEYS")?;
    let peer = Peer::new(&keys)?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", respond(&peer, &line?));
        std::io::stdout().flush()?;
    }
    Ok(())
}
