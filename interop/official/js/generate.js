'use strict'
// Writes the JavaScript SDK's messages (make WORK), and reads the published ones of every SDK as
// far as its keyrings go (check WORK).
const fs = require('fs')
const path = require('path')
const { constants } = require('crypto')
const {
  buildClient, CommitmentPolicy, MultiKeyringNode, RawAesKeyringNode, RawAesWrappingSuiteIdentifier,
  RawRsaKeyringNode
} = require('@aws-crypto/client-node')

const [command, work] = process.argv.slice(2)
const json = name => JSON.parse(fs.readFileSync(path.join(work, name), 'utf8'))
const file = name => fs.readFileSync(path.join(work, name))
const at = url => url.slice('file://'.length)
const { keys } = json('keys.json')
const committing = suite => suite === '0478' || suite === '0578'

const readable = d => d.type === 'raw' ||
  (d.type === 'multi-keyring' && [d.generator, ...d.childKeyrings].every(readable))

function keyring (d) {
  if (d.type === 'multi-keyring') {
    return new MultiKeyringNode({ generator: keyring(d.generator), children: d.childKeyrings.map(keyring) })
  }
  const key = keys[d.key]
  const names = { keyNamespace: d['provider-id'], keyName: key['key-id'] }
  if (d['encryption-algorithm'] === 'aes') {
    // A small Buffer may share its memory with others, which the keyring does not accept.
    const unencryptedMasterKey = Uint8Array.from(Buffer.from(key.material, 'base64'))
    const wrappingSuite = RawAesWrappingSuiteIdentifier[`AES${key.bits}_GCM_IV12_TAG16_NO_PADDING`]
    // By default the keyring orders the context by locale, and no other SDK could open the key.
    return new RawAesKeyringNode({ ...names, unencryptedMasterKey, wrappingSuite, utf8Sorting: true })
  }
  const padding = d['padding-algorithm'] === 'pkcs1'
    ? { padding: constants.RSA_PKCS1_PADDING }
    : { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: d['padding-hash'] }
  const part = d.key.endsWith('-private') ? 'privateKey' : 'publicKey'
  return new RawRsaKeyringNode({ ...names, ...padding, rsaKey: { [part]: key.material } })
}

function decrypt (message, d, suite) {
  const policy = committing(suite)
    ? CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    : CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
  return buildClient(policy).decrypt(keyring(d), message)
}

async function make () {
  const cases = json('plan/javascript.json')
  for (const c of cases) {
    const plaintext = file(`plaintexts/${c.plaintext}`)
    const policy = committing(c.suite)
      ? CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
      : CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    const { result } = await buildClient(policy).encrypt(keyring(c.encrypt), plaintext, {
      suiteId: parseInt(c.suite, 16), encryptionContext: c.context, frameLength: c['frame-size']
    })
    const got = await decrypt(result, c.decrypt, c.suite)
    if (!got.plaintext.equals(plaintext)) throw new Error(`${c.id}: decrypts to something else`)
    fs.writeFileSync(path.join(work, 'ciphertexts', c.id), result)
  }
  console.log(`javascript: ${cases.length} messages written and decrypted`)
}

async function check () {
  for (const sdk of ['python', 'java', 'javascript']) {
    let read = 0; let refused = 0; let skipped = 0
    for (const [id, test] of Object.entries(json(`${sdk}.json`).tests)) {
      const s = test['decryption-scenario']
      const message = file(at(s.ciphertext))
      if (!readable(s.decryptKeyDescription)) {
        skipped++
      } else if (s.type === 'negative-esdk') {
        const opened = await decrypt(message, s.decryptKeyDescription, s.algorithmSuiteId).then(() => true, () => false)
        if (opened) throw new Error(`${id}: not refused`)
        refused++
      } else {
        const got = await decrypt(message, s.decryptKeyDescription, s.algorithmSuiteId)
        if (!got.plaintext.equals(file(at(s.result)))) throw new Error(`${id}: decrypts to something else`)
        const { 'aws-crypto-public-key': _, ...found } = got.messageHeader.encryptionContext
        const pairs = c => JSON.stringify(Object.entries(c).sort())
        if (pairs(found) !== pairs(s.encryptionContext)) throw new Error(`${id}: another encryption context`)
        read++
      }
    }
    console.log(`javascript: ${sdk}.json: ${read} read, ${refused} refused, ${skipped} skipped (no such keyring)`)
  }
}

({ make, check })[command]().catch(e => { console.error(`javascript: ${e.stack}`); process.exit(1) })
