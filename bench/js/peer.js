'use strict'
// The official JavaScript SDK for Node.js behind the protocol of ../README.md.

const fs = require('fs')
const readline = require('readline')
const { Readable } = require('stream')
const { pipeline } = require('stream/promises')
const sdk = require('@aws-crypto/client-node')

const CHUNK = 64 << 10
const BATCH = 10

const suites = {
  '0478': sdk.AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
  '0578': sdk.AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
}

const client = sdk.buildClient(sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

const keyring = new sdk.RawAesKeyringNode({
  keyNamespace: 'bench',
  keyName: 'aes256',
  unencryptedMasterKey: Uint8Array.from({ length: 32 }, (_, i) => i),
  wrappingSuite: sdk.RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
  utf8Sorting: true
})

const period = Buffer.from(Array.from({ length: 1 << 16 }, (_, i) => (i ^ (i >> 8)) & 255))
const pattern = (size) => Buffer.alloc(size, period)

const how = (request) => ({
  suiteId: suites[request.suite],
  frameLength: 4096,
  encryptionContext: { purpose: 'bench' }
})

const encrypt = async (request, plaintext) => (await client.encrypt(keyring, plaintext, how(request))).result
const decrypt = async (message) => (await client.decrypt(keyring, message)).plaintext

function * chunks (data) {
  for (let at = 0; at < data.length; at += CHUNK) yield data.subarray(at, at + CHUNK)
}

function * patternChunks (size) {
  for (let at = 0; at < size; at += period.length) yield period.subarray(0, size - at)
}

const source = (parts) => Readable.from(parts, { objectMode: false })

// through passes a source through a stream, and counts what comes out.
async function through (from, stream, sink) {
  let size = 0
  await pipeline(from, stream, async (parts) => {
    for await (const part of parts) {
      size += part.length
      if (sink) fs.writeSync(sink, part)
    }
  })
  return size
}

const encryptStream = (request, from, sink) => through(from, client.encryptStream(keyring, how(request)), sink)

// The SDK has a stream of its own for messages that must not be signed.
const decryptStream = (request, from) =>
  through(from, request.suite === '0478' ? client.decryptUnsignedMessageStream(keyring) : client.decryptStream(keyring))

// A message that was made once, and serves all requests of its suite and size.
let sample

async function prepare (request) {
  if (sample && sample.suite === request.suite && sample.size === request.size) return
  sample = undefined
  const plaintext = pattern(request.size)
  const message = await encrypt(request, plaintext)
  if (!plaintext.equals(await decrypt(message))) throw new Error('another plaintext came back')
  sample = { suite: request.suite, size: request.size, plaintext, message }
}

function operation (request) {
  const { plaintext, message } = sample
  if (request.op === 'encrypt') {
    return request.stream ? () => encryptStream(request, source(chunks(plaintext))) : () => encrypt(request, plaintext)
  }
  return request.stream ? () => decryptStream(request, source(chunks(message))) : () => decrypt(message)
}

const millis = () => Number(process.hrtime.bigint()) / 1e6

async function timeOne (work, limit) {
  const batches = []
  let iterations = 0
  for (const start = millis(); batches.length === 0 || millis() - start < limit;) {
    const batch = millis()
    let n = 0
    for (; n === 0 || millis() - batch < BATCH; n++) await work()
    batches.push((millis() - batch) / 1000 / n)
    iterations += n
  }
  batches.sort((a, b) => a - b)
  return { iterations, best: batches[0], median: batches[batches.length >> 1] }
}

// timeTogether has several calls under way at once, on the one thread that there is.
async function timeTogether (work, calls, limit) {
  let iterations = 0
  const start = millis()
  await Promise.all(Array.from({ length: calls }, async () => {
    do {
      await work()
      iterations++
    } while (millis() - start < limit)
  }))
  const each = (millis() - start) / 1000 / iterations
  return { iterations, best: each, median: each }
}

async function save (request) {
  const sink = fs.openSync(request.path, 'w')
  if (request.stream) await encryptStream(request, source(patternChunks(request.size)), sink)
  else fs.writeSync(sink, await encrypt(request, pattern(request.size)))
  fs.closeSync(sink)
}

async function load (request) {
  const size = request.stream
    ? await decryptStream(request, fs.createReadStream(request.path, { highWaterMark: CHUNK }))
    : (await decrypt(fs.readFileSync(request.path))).length
  if (size !== request.size) throw new Error(`a plaintext of ${size} bytes came back`)
}

async function answer (request) {
  switch (request.op) {
    case 'version':
      return { version: `${require('./package.json').dependencies['@aws-crypto/client-node']}, Node.js ${process.versions.node}` }
    case 'rss':
      return { rss: Number(/VmHWM:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024 }
    case 'save':
      await save(request)
      return {}
    case 'load':
      await load(request)
      return {}
    case 'encrypt':
    case 'decrypt':
      await prepare(request)
      return request.threads
        ? timeTogether(operation(request), request.threads, request.millis || 0)
        : timeOne(operation(request), request.millis || 0)
  }
  return { unsupported: 'operation' }
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let a
    try {
      a = await answer(JSON.parse(line))
    } catch (e) {
      a = { error: String(e.message || e) }
    }
    console.log(JSON.stringify(a))
  }
}

main()
