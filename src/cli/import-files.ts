// Copies folders of artifacts from an MLflow server, file by file, each as a stream.
import { CommandError } from './command.ts'
import { type ImportTarget, Missing, statusOf } from './import-target.ts'
import { joined, type MlflowSource, type Place, type SourceFile } from './mlflow-source.ts'

const tries = 3

export interface FileJob {
  source: MlflowSource
  target: ImportTarget
  /** Also files of the right size are read and compared. */
  verify: boolean
  copied: (bytes: number) => void
  present: () => void
  /** Called for what could not be copied; throws where nothing else could be either. */
  failed: (path: string, error: unknown) => void
}

/** A file at the source, and where it belongs. */
interface Pair {
  place: Place
  path: string
  to: string
  /** Bytes, as far as the source tells. */
  size: number | undefined
}

/** The bytes as they come; fails if some are missing at the end, so that the copy is not kept. */
async function* whole(
  answer: Response,
  size: number | undefined,
  seen: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of answer.body ?? []) {
    length += chunk.length
    seen(chunk)
    yield chunk
  }
  if (size !== undefined && length !== size) throw new Missing(`${length} bytes of ${size} came`)
}

async function copyFile(job: FileJob, at: Pair): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    const answer = await job.source.read(at.place, at.path)
    let bytes = 0
    try {
      await job.target.put(
        at.to,
        whole(answer, at.size, (chunk) => (bytes += chunk.length)),
      )
      job.copied(bytes)
      return
    } catch (error) {
      // A refusal is certain; a broken stream is not.
      if (statusOf(error) !== undefined) throw error
      if (tried === tries) throw new Missing(`the transfer broke off after ${bytes} bytes`)
    }
  }
}

/** Is the file there as it is at the source? */
async function isSame(job: FileJob, at: Pair): Promise<boolean> {
  if (!job.verify) return true
  const hasher = new Bun.CryptoHasher('sha256')
  const answer = await job.source.read(at.place, at.path)
  for await (const _ of whole(answer, at.size, (chunk) => hasher.update(chunk)));
  return hasher.digest('hex') === (await job.target.digest(at.to))
}

async function bringFile(
  job: FileJob,
  at: Pair,
  known: number | null | undefined,
): Promise<boolean> {
  try {
    if (known === (at.size ?? 0) && (await isSame(job, at))) job.present()
    else if (job.target.isRehearsal) job.copied(at.size ?? 0)
    else await copyFile(job, at)
    return true
  } catch (error) {
    const isTold = error instanceof CommandError || error instanceof Missing
    job.failed(at.path, isTold ? error : new Missing('MLflow broke off the transfer'))
    return false
  }
}

/**
 * Brings all files below a place to a folder of the server. `to` is empty in a rehearsal where the
 * folder is not there yet. Returns whether all of them are there.
 */
export async function copyFolder(
  job: FileJob,
  place: Place,
  to: string,
  folder = '',
): Promise<boolean> {
  let theirs: SourceFile[]
  try {
    theirs = await job.source.list(place, folder)
  } catch (error) {
    job.failed(folder === '' ? 'its files' : folder, error)
    return false
  }
  const ours =
    to === '' ? new Map<string, number | null>() : await job.target.list(joined(to, folder))
  let all = true
  for (const { name, isDir, size } of theirs) {
    const path = joined(folder, name)
    const done = isDir
      ? await copyFolder(job, place, to, path)
      : await bringFile(job, { place, path, to: joined(to, path), size }, ours.get(name))
    all &&= done
  }
  return all
}
