// A request as bytes on a socket: paths and headers that fetch would tidy up first.

export interface RawAnswer {
  status: number
  head: string
  body: string
}

/** Sends `text` and returns what came back until the server was silent for a moment or closed. */
export function sendRaw(url: string, text: string, timeout = 2000): Promise<RawAnswer> {
  const { hostname, port } = new URL(url)
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
  let received = ''
  const done = (): void => {
    const end = received.indexOf('\r\n\r\n')
    const head = end < 0 ? received : received.slice(0, end)
    const status = Number(head.split(' ')[1] ?? 0)
    resolve({ status, head, body: end < 0 ? '' : received.slice(end + 4) })
  }
  setTimeout(done, timeout).unref()
  Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) => {
        socket.write(text)
      },
      data: (socket, chunk) => {
        received += chunk.toString()
        const end = received.indexOf('\r\n\r\n')
        if (end < 0) return
        const length = /content-length: (\d+)/i.exec(received.slice(0, end))?.[1]
        if (length !== undefined && received.length >= end + 4 + Number(length)) socket.end()
      },
      close: done,
      error: (_socket, error) => reject(error),
    },
  }).catch(reject)
  return promise
}

/** A request without a body; `target` goes on the wire as it is. */
export function rawGet(
  url: string,
  target: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<RawAnswer> {
  const lines = Object.entries({ host: new URL(url).host, connection: 'close', ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return sendRaw(url, `${method} ${target} HTTP/1.1\r\n${head}\r\n`)
}
