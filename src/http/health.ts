// Liveness, readiness and health: what probes and load balancers ask.
import { Elysia } from 'elysia'

import type { HealthReport, Status } from '../core/health.ts'
import type { Guard } from './guard.ts'
import { exchangeOf } from './request.ts'

export interface HealthOptions {
  report: () => HealthReport
  strictReady: boolean
  readyWhenEmpty: boolean
  version: string
  /** Names of models that the caller may read about; null without a valid token. */
  readable: (request: Request) => Promise<((model: string) => boolean) | null>
}

interface Answer {
  status: Status
  code: 200 | 503
}

/** Database and storage decide; models are ignored: what registry traffic asks. */
function registryHealth(report: HealthReport): Answer {
  const broken = report.database === 'failed' || report.storage === 'failed'
  return broken ? { status: 'failed', code: 503 } : { status: 'ok', code: 200 }
}

/** 503 until the first reconcile has ended, or while database or storage fails (RULES §17). */
export function readiness(report: HealthReport, strict: boolean): Answer {
  const base = registryHealth(report)
  if (base.code === 503 || !report.started || report.draining)
    return { status: 'failed', code: 503 }
  const { failed, fallback } = report.models
  if (failed + fallback === 0 && !report.safe_mode) return base
  return { status: 'degraded', code: strict ? 503 : 200 }
}

function overall(report: HealthReport, options: HealthOptions): Answer {
  const ready = readiness(report, options.strictReady)
  if (ready.code === 503 || report.models.serving > 0) return ready
  const emptyIsFine = options.readyWhenEmpty && report.models.production === 0
  return emptyIsFine ? ready : { status: 'failed', code: 503 }
}

export function healthRoutes(guard: Guard, options: HealthOptions) {
  const answer = async (
    request: Request,
    set: { status?: number | string },
    judge: (report: HealthReport) => Answer,
  ): Promise<object> => {
    const report = options.report()
    const { status, code } = judge(report)
    set.status = code
    const { notes, ...shown } = report
    const readable = await options.readable(exchangeOf(request).request)
    const known = readable && { notes: notes.filter(({ model }) => readable(model)) }
    return { status, ...shown, ...known }
  }
  const open = 'health' as const
  return new Elysia()
    .use(guard)
    .get('/health/live', () => ({ status: 'ok' }), {
      open,
      detail: { tags: ['health'], summary: 'The process answers' },
    })
    .get(
      '/health/ready',
      ({ request, set }) => answer(request, set, (r) => readiness(r, options.strictReady)),
      { open, detail: { tags: ['health'], summary: '503 until the first reconcile has ended' } },
    )
    .get('/health/registry', ({ request, set }) => answer(request, set, registryHealth), {
      open,
      detail: { tags: ['health'], summary: 'Database and storage only' },
    })
    .get('/health', ({ request, set }) => answer(request, set, (r) => overall(r, options)), {
      open,
      detail: { tags: ['health'], summary: 'Registry reachable and a Production model serving' },
    })
    .get('/', ({ request }) => front(request), {
      open,
      detail: { tags: ['health'], summary: 'What KServe V1 clients ask; people are sent to /docs' },
    })
    .get('/version', () => new Response(options.version, { headers: plain }), {
      open,
      detail: { tags: ['health'], summary: 'Level of the MLflow API, as plain text' },
    })
}

/** KServe's V1 clients look here whether a server is alive. */
function front({ headers }: Request): object {
  const isPerson = (headers.get('accept') ?? '').includes('text/html')
  return isPerson
    ? new Response(null, { status: 302, headers: { location: 'docs' } })
    : { status: 'alive' }
}

const plain = { 'content-type': 'text/plain; charset=utf-8' }
