// Stand-ins for PagerDuty (Events API v2) and Slack (incoming webhook) that refuse what those would refuse.

export interface Note<T> {
  /** Milliseconds since the epoch. */
  at: number
  body: T
}

export interface PagerEvent {
  routing_key: string
  event_action: 'trigger' | 'acknowledge' | 'resolve'
  dedup_key: string
  payload: {
    summary: string
    source: string
    severity: string
    custom_details?: Record<string, string>
  }
}

export interface SlackMessage {
  channel?: string
  text?: string
  attachments?: { title?: string; title_link?: string; text?: string; color?: string }[]
}

export interface Receivers {
  pagerDuty: { url: string; notes: Note<PagerEvent>[] }
  slack: { url: string; notes: Note<SlackMessage>[] }
  /** What they answered with 400 or 404, and why. */
  refused: string[]
  stop(): Promise<void>
}

const severities: ReadonlySet<string> = new Set(['critical', 'error', 'warning', 'info'])

/** As its documentation has it: the fields that must be there and what they may hold. */
function flawOf(event: PagerEvent, routingKey: string): string | null {
  if (event.routing_key !== routingKey) return 'Invalid routing key'
  if (!['trigger', 'acknowledge', 'resolve'].includes(event.event_action)) return 'event_action'
  if (event.event_action !== 'trigger') return event.dedup_key ? null : "'dedup_key' is missing"
  const { payload } = event
  if (!payload?.summary) return "'payload.summary' is missing or blank"
  if (payload.summary.length > 1024) return "'payload.summary' is longer than 1024 characters"
  if (!payload.source) return "'payload.source' is missing or blank"
  return severities.has(payload.severity) ? null : "'payload.severity' is invalid"
}

/** `routingKey`: the integration's key, 32 characters. */
export function startReceivers(routingKey: string): Receivers {
  const pages: Note<PagerEvent>[] = []
  const messages: Note<SlackMessage>[] = []
  const refused: string[] = []
  const refuse = (status: number, words: string): Response => {
    refused.push(`${status} ${words}`)
    return Response.json({ status: 'invalid event', message: words }, { status })
  }
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    routes: {
      '/v2/enqueue': {
        POST: async (request) => {
          const event = (await request.json()) as PagerEvent
          const flaw = flawOf(event, routingKey)
          if (flaw !== null) return refuse(400, flaw)
          pages.push({ at: Date.now(), body: event })
          const { dedup_key: key } = event
          const answer = { status: 'success', message: 'Event processed', dedup_key: key }
          return Response.json(answer, { status: 202 })
        },
      },
      '/services/T000/B000/secret': {
        POST: async (request) => {
          const message = (await request.json()) as SlackMessage
          if (!message.text && !message.attachments?.length) return refuse(400, 'no_text')
          messages.push({ at: Date.now(), body: message })
          return new Response('ok')
        },
      },
    },
    fetch: (request) => refuse(404, `${request.method} ${new URL(request.url).pathname}`),
  })
  const url = `http://127.0.0.1:${server.port}`
  return {
    pagerDuty: { url: `${url}/v2/enqueue`, notes: pages },
    slack: { url: `${url}/services/T000/B000/secret`, notes: messages },
    refused,
    stop: () => server.stop(true),
  }
}
