'use strict'
// The official JavaScript SDK behind the protocol of ../../README.md.
const fs = require('fs')
const path = require('path')
const readline = require('readline')
const { pipeline } = require('stream/promises')
const { constants } = require('crypto')
const sdk = require('@aws-crypto/client-node')

const keys = JSON.parse(fs.readFileSync(process.argv[2], 'utf8')).keys
const committing = suite => suite === '0478' || suite === '0578'
const region = arn => arn.split(':')[3]

class Unsupported extends Error {}

// --- keyrings

const kms = region => new sdk.KMS({ region })
const filterOf = d => {
  const f = d['aws-kms-discovery-filter']
  return { partition: f.partition, accountIDs: f['account-ids'] }
}

function keyStore (table, arn) {
  return new sdk.BranchKeyStoreNode({
    // It makes a client of its own: one that we made would be of another copy of the AWS SDK.
    storage: { ddbTableName: table },
    logicalKeyStoreName: table,
    kmsConfiguration: arn === 'discovery' ? arn : { identifier: arn },
    keyManagement: { kmsClient: kms(arn === 'discovery' ? process.env.AWS_REGION : region(arn)) }
  })
}

const keyrings = {
  raw (d, legacy) {
    const key = keys[d.key]
    const names = { keyNamespace: d['provider-id'], keyName: key['key-id'] }
    if (d['encryption-algorithm'] === 'aes') {
      // A small Buffer may share its memory with others, which the keyring does not accept.
      const unencryptedMasterKey = Uint8Array.from(Buffer.from(key.material, 'base64'))
      const bits = 8 * unencryptedMasterKey.length
      const wrappingSuite = sdk.RawAesWrappingSuiteIdentifier[`AES${bits}_GCM_IV12_TAG16_NO_PADDING`]
      // By default the keyring orders the context by locale, and no other SDK could open the key.
      const order = legacy ? {} : { utf8Sorting: true }
      return new sdk.RawAesKeyringNode({ ...names, unencryptedMasterKey, wrappingSuite, ...order })
    }
    const padding = d['padding-algorithm'] === 'pkcs1'
      ? { padding: constants.RSA_PKCS1_PADDING }
      : { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: d['padding-hash'] }
    return new sdk.RawRsaKeyringNode({ ...names, ...padding, rsaKey: { [`${key.type}Key`]: key.material } })
  },
  'multi-keyring' (d, legacy) {
    const generator = d.generator ? { generator: keyring(d.generator, legacy) } : {}
    return new sdk.MultiKeyringNode({ ...generator, children: d.childKeyrings.map(child => keyring(child, legacy)) })
  },
  'aws-kms' (d) {
    return new sdk.KmsKeyringNode({ clientProvider: kms, generatorKeyId: keys[d.key]['key-id'] })
  },
  'aws-kms-mrk-aware' (d) {
    const keyId = keys[d.key]['key-id']
    return new sdk.AwsKmsMrkAwareSymmetricKeyringNode({ client: kms(region(keyId)), keyId })
  },
  'aws-kms-discovery' (d) {
    return new sdk.KmsKeyringNode({ clientProvider: kms, discovery: true, discoveryFilter: filterOf(d) })
  },
  'aws-kms-mrk-aware-discovery' (d) {
    const client = kms(d['default-mrk-region'])
    return new sdk.AwsKmsMrkAwareSymmetricDiscoveryKeyringNode({ client, discoveryFilter: filterOf(d) })
  },
  'branch-key' (d, legacy) {
    return new sdk.KmsHierarchicalKeyRingNode({
      branchKeyId: d.id, keyStore: keyStore(d.table, d.kms), cacheLimitTtl: 600, ...(legacy ? {} : { utf8Sorting: true })
    })
  }
}

const missing = {
  'raw-ecdh': 'no raw ECDH keyring',
  'aws-kms-rsa': 'no KMS RSA keyring',
  'aws-kms-ecdh': 'no KMS ECDH keyring',
  'required-encryption-context-cmm': 'no required encryption context CMM'
}

function keyring (d, legacy) {
  if (d.type in missing) throw new Unsupported(missing[d.type])
  return keyrings[d.type](d, legacy)
}

function materials (request) {
  if (request.api === 'master-key') throw new Unsupported('no master key providers')
  return keyring(request.key, request.legacy)
}

// --- operations

const operations = {
  hello () {
    const file = path.join(__dirname, 'node_modules/@aws-crypto/client-node/package.json')
    const { version } = JSON.parse(fs.readFileSync(file, 'utf8'))
    return { name: 'aws-encryption-sdk-javascript', version, with: `Node.js ${process.versions.node}` }
  },

  async encrypt (request) {
    if (request.frame === 0) throw new Unsupported('writes no bodies without frames')
    const client = sdk.buildClient(committing(request.suite)
      ? sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
      : sdk.CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
    const op = {
      suiteId: parseInt(request.suite, 16), encryptionContext: request.context, frameLength: request.frame
    }
    if (request.stream) {
      await stream(request, client.encryptStream(materials(request), op))
    } else {
      const { result } = await client.encrypt(materials(request), fs.readFileSync(request.in), op)
      fs.writeFileSync(request.out, result)
    }
    return {}
  },

  async decrypt (request) {
    if (Object.keys(request.reproduced ?? {}).length > 0) throw new Unsupported('no reproduced encryption context')
    const client = sdk.buildClient(committing(request.suite)
      ? sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
      : sdk.CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)
    if (request.stream) {
      let header
      await stream(request, client.decryptStream(materials(request)).once('MessageHeader', h => { header = h }))
      return { context: header.encryptionContext }
    }
    const { plaintext, messageHeader } = await client.decrypt(materials(request), fs.readFileSync(request.in))
    fs.writeFileSync(request.out, plaintext)
    return { context: messageHeader.encryptionContext }
  },

  async store ({ action, table, kms, id }) {
    if (action === 'create') throw new Unsupported('makes no tables of key stores')
    const store = keyStore(table, kms)
    if (action === 'key') return { id: (await store.createKey()).branchKeyIdentifier }
    if (action === 'version') {
      await store.versionKey({ branchKeyIdentifier: id })
      return {}
    }
    // It reads no beacon keys.
    const { branchKeyVersion } = await store.getActiveBranchKey(id)
    return { version: branchKeyVersion.toString('utf8') }
  }
}

// The output is there only if all went well.
async function stream (request, through) {
  const part = `${request.out}.part`
  try {
    await pipeline(fs.createReadStream(request.in), through, fs.createWriteStream(part))
    fs.renameSync(part, request.out)
  } finally {
    fs.rmSync(part, { force: true })
  }
}

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer
    try {
      const request = JSON.parse(line)
      answer = await operations[request.op](request)
    } catch (e) {
      answer = e instanceof Unsupported ? { unsupported: e.message } : { error: String(e).slice(0, 500) }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  // Connections that are kept would keep the process.
  process.exit(0)
}

console.log = console.error // what libraries print is no answer
main()
