//! The official Rust SDK behind the protocol of ../README.md.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_esdk::client::Client;
use aws_esdk::material_providers::client::Client as Providers;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{AesWrappingAlg, EsdkAlgorithmSuiteId};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use aws_smithy_types::Blob;
use serde_json::{json, Value};
use tokio::runtime::{Builder, Runtime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LOCK: &str = include_str!("../Cargo.lock");
const BATCH: Duration = Duration::from_millis(10);

/// What the answer says instead of a figure.
#[derive(Debug)]
struct Unsupported(&'static str);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Unsupported {}

struct Sdk {
    client: Client,
    keyring: KeyringRef,
    context: HashMap<String, String>,
}

impl Sdk {
    async fn new() -> Result<Sdk> {
        let providers = Providers::from_conf(MaterialProvidersConfig::builder().build()?)?;
        let keyring = providers
            .create_raw_aes_keyring()
            .key_namespace("bench")
            .key_name("aes256")
            .wrapping_key(Blob::new((0..32).collect::<Vec<u8>>()))
            .wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16)
            .send()
            .await?;
        Ok(Sdk {
            client: Client::from_conf(AwsEncryptionSdkConfig::builder().build()?)?,
            keyring,
            context: HashMap::from([("purpose".into(), "bench".into())]),
        })
    }

    async fn encrypt(&self, suite: &EsdkAlgorithmSuiteId, plaintext: Blob) -> Result<Blob> {
        let out = self
            .client
            .encrypt()
            .plaintext(plaintext)
            .algorithm_suite_id(*suite)
            .encryption_context(self.context.clone())
            .frame_length(4096)
            .keyring(self.keyring.clone())
            .send()
            .await?;
        out.ciphertext.ok_or_else(|| "no ciphertext".into())
    }

    async fn decrypt(&self, message: Blob) -> Result<Blob> {
        let out = self.client.decrypt().ciphertext(message).keyring(self.keyring.clone()).send().await?;
        out.plaintext.ok_or_else(|| "no plaintext".into())
    }
}

fn suite(request: &Value) -> Result<EsdkAlgorithmSuiteId> {
    match request["suite"].as_str() {
        Some("0478") => Ok(EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey),
        Some("0578") => Ok(EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKeyEcdsaP384),
        _ => Err(Box::new(Unsupported("suite"))),
    }
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| ((i >> 8) ^ i) as u8).collect()
}

/// A message that was made once and serves all requests of its suite and size.
struct Sample {
    key: (String, usize),
    plaintext: Vec<u8>,
    message: Vec<u8>,
}

struct Peer {
    runtime: Runtime,
    sdk: Sdk,
    sample: Option<Sample>,
}

impl Peer {
    fn answer(&mut self, request: &Value) -> Result<Value> {
        if request["stream"].as_bool() == Some(true) {
            return Err(Box::new(Unsupported("no streaming")));
        }
        match request["op"].as_str() {
            Some("version") => Ok(json!({"version": version("aws-esdk")})),
            Some("rss") => Ok(json!({"rss": peak_rss()?})),
            Some("encrypt") => self.measure(request, true),
            Some("decrypt") => self.measure(request, false),
            Some("save") => {
                let plaintext = pattern(size(request));
                let message = self.runtime.block_on(self.sdk.encrypt(&suite(request)?, Blob::new(plaintext)))?;
                std::fs::write(path(request)?, message)?;
                Ok(json!({}))
            }
            Some("load") => {
                let message = std::fs::read(path(request)?)?;
                let plaintext = self.runtime.block_on(self.sdk.decrypt(Blob::new(message)))?;
                if plaintext.as_ref().len() != size(request) {
                    return Err("plaintext of another size".into());
                }
                Ok(json!({}))
            }
            _ => Err(Box::new(Unsupported("operation"))),
        }
    }

    /// Makes the message, and checks that it comes back, once.
    fn prepare(&mut self, request: &Value) -> Result<()> {
        let key = (request["suite"].to_string(), size(request));
        if self.sample.as_ref().is_some_and(|s| s.key == key) {
            return Ok(());
        }
        self.sample = None;
        let plaintext = pattern(key.1);
        let message = self.runtime.block_on(self.sdk.encrypt(&suite(request)?, Blob::new(plaintext.clone())))?;
        let back = self.runtime.block_on(self.sdk.decrypt(message.clone()))?;
        if back.as_ref() != plaintext {
            return Err("round trip changed the plaintext".into());
        }
        self.sample = Some(Sample { key, plaintext, message: message.into_inner() });
        Ok(())
    }

    fn measure(&mut self, request: &Value, encrypt: bool) -> Result<Value> {
        self.prepare(request)?;
        let sample = self.sample.as_ref().ok_or("no sample")?;
        let suite = suite(request)?;
        let millis = Duration::from_millis(request["millis"].as_u64().unwrap_or(0));
        let input = if encrypt { &sample.plaintext } else { &sample.message };
        // The SDK takes its input away; the copy for it is not timed.
        let once = |runtime: &Runtime| -> std::result::Result<Duration, String> {
            let data = Blob::new(input.clone());
            let start = Instant::now();
            let out = if encrypt {
                runtime.block_on(self.sdk.encrypt(&suite, data))
            } else {
                runtime.block_on(self.sdk.decrypt(data))
            };
            out.map_err(|e| e.to_string())?;
            Ok(start.elapsed())
        };
        match request["threads"].as_u64().unwrap_or(0) {
            0 => Ok(single(millis, || once(&self.runtime))?),
            threads => Ok(parallel(millis, threads, &once)?),
        }
    }
}

/// Times batches of 10 ms or more.
fn single(limit: Duration, mut once: impl FnMut() -> std::result::Result<Duration, String>) -> std::result::Result<Value, String> {
    let start = Instant::now();
    let mut batches = Vec::new();
    let mut iterations = 0;
    while batches.is_empty() || start.elapsed() < limit {
        let (mut sum, mut n) = (Duration::ZERO, 0);
        while n == 0 || sum < BATCH {
            sum += once()?;
            n += 1;
        }
        iterations += n;
        batches.push(sum.as_secs_f64() / f64::from(n));
    }
    batches.sort_by(f64::total_cmp);
    Ok(json!({"iterations": iterations, "best": batches[0], "median": batches[batches.len() / 2]}))
}

/// Has several threads work until the time is up, and answers with the time for each result.
fn parallel<F>(limit: Duration, threads: u64, once: &F) -> std::result::Result<Value, String>
where
    F: Fn(&Runtime) -> std::result::Result<Duration, String> + Sync,
{
    let iterations = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let Ok(runtime) = Builder::new_current_thread().build() else {
                    return failed.store(true, Ordering::Relaxed);
                };
                loop {
                    if once(&runtime).is_err() {
                        return failed.store(true, Ordering::Relaxed);
                    }
                    iterations.fetch_add(1, Ordering::Relaxed);
                    if start.elapsed() >= limit {
                        return;
                    }
                }
            });
        }
    });
    if failed.load(Ordering::Relaxed) {
        return Err("a thread failed".into());
    }
    let n = iterations.load(Ordering::Relaxed);
    let each = start.elapsed().as_secs_f64() / n as f64;
    Ok(json!({"iterations": n, "best": each, "median": each}))
}

fn size(request: &Value) -> usize {
    request["size"].as_u64().unwrap_or(0) as usize
}

fn path(request: &Value) -> Result<&str> {
    request["path"].as_str().ok_or_else(|| "no path".into())
}

/// The version of a package in the lock file.
fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let rest = LOCK.split_once(name.as_str()).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("")
}

fn peak_rss() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().build()?;
    let sdk = runtime.block_on(Sdk::new())?;
    let mut peer = Peer { runtime, sdk, sample: None };
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?).map_err(Into::into).and_then(|r: Value| peer.answer(&r)) {
            Ok(answer) => answer,
            Err(e) if e.is::<Unsupported>() => json!({"unsupported": e.to_string()}),
            Err(e) => json!({"error": e.to_string()}),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
