// Bytes that come from afar, taken to a temporary file as they arrive.
import { Fault, tooLarge } from '../core/fault.ts'
import { passedThrough } from '../core/garbage.ts'
import type { Storage, Upload } from './storage.ts'

export interface ReceivedFile {
  upload: Upload
  sha256: string
  size: number
}

/** Writes all chunks into an upload. Throws `request.too-large` beyond `max-model` (`most` bytes). */
export async function writeAll(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  upload: Upload,
  most: number,
): Promise<void> {
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.byteLength
    if (size > most) throw tooLarge(most, 'max-model')
    await upload.write(chunk)
    passedThrough(chunk.byteLength)
  }
}

/** A finished upload that `fill` has written; discard it in the end. What fails leaves no file. */
export async function receiveFile(
  storage: Storage,
  fill: (upload: Upload) => Promise<void>,
): Promise<ReceivedFile> {
  const upload = await storage.begin()
  try {
    await fill(upload)
    return { upload, ...(await upload.finish()) }
  } catch (error) {
    await upload.discard()
    if (error instanceof Fault || (error as { code?: string }).code === 'ENOSPC') throw error
    throw new Fault('request.malformed', 'The upload ended before it was complete.', {
      cause: error,
    })
  }
}
