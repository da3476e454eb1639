// Where artifacts live: blobs named by the SHA-256 of their bytes, written once, never changed.

/** An artifact that is being received; not visible until committed. */
export interface Upload {
  /** Path of the temporary file. */
  readonly path: string
  write(chunk: Uint8Array): Promise<void>
  /** Flushes to disk and closes. Returns digest (hex) and size in bytes. */
  finish(): Promise<{ sha256: string; size: number }>
  /** Removes what was written; safe to call at any time, also after a commit. */
  discard(): Promise<void>
}

export interface Storage {
  /** Starts a new temporary file. */
  begin(): Promise<Upload>
  /** A fresh path for a file that another process writes; commit it or remove it. */
  scratch(suffix: string): string
  /** Makes a finished file durable under its digest. Committing the same bytes twice is harmless. */
  commit(path: string, sha256: string): Promise<void>
  /** Local path of a blob. It may not exist. */
  path(sha256: string): string
  exists(sha256: string): boolean
  /** Reads the whole blob and compares digest. 'ok', 'missing' or 'corrupt'. */
  verify(sha256: string): Promise<'ok' | 'missing' | 'corrupt'>
  remove(sha256: string): Promise<void>
  /** Digests of all blobs. */
  list(): Promise<string[]>
  /** Throws when the folder cannot be written. */
  ping(): void
  /** Bytes of all blobs. */
  size(): Promise<number>
}
