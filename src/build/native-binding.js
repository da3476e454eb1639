import { dlopen } from 'bun:ffi'
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Tensor } from 'onnxruntime-common'
// Stands in for onnxruntime-node's binding module inside the binary: unpacks the native library once
// under the data folder, named by its hash, and loads it from there.
import bindingFile from 'relais-native-binding' with { type: 'file' }
import libraryFile from 'relais-native-library' with { type: 'file' }

const digest = RELAIS_NATIVE_DIGEST
const root = globalThis.relaisNativeFolder ?? join(tmpdir(), `relais-${process.getuid()}`)
const folder = join(root, digest.slice(0, 16))

function unpack(name, from) {
  const path = join(folder, name)
  const bytes = () => readFileSync(from)
  if (existsSync(path) && statSync(path).size === statSync(from).size) return path
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // Several engines may start at once: each writes its own copy, the last rename wins, all are equal.
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, bytes(), { mode: 0o700, flush: true })
  renameSync(temporary, path)
  return path
}

dlopen(unpack('libonnxruntime.so.1', libraryFile), { OrtGetApiBase: { args: [], returns: 'ptr' } })
const holder = { exports: {} }
process.dlopen(holder, unpack('onnxruntime_binding.node', bindingFile))
export const binding = holder.exports

let started = false
export const initOrt = () => {
  if (started) return
  started = true
  // Only fatal messages: the rest names files, and goes to the caller as a reason anyway.
  binding.initOrtOnce(4, Tensor, true)
}
