// The series and the log head of each route, method and status, resolved once, and never too many.
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CounterSeries, HistogramSeries } from '../telemetry/series.ts'
import type { Exchange, RouteClass } from './request.ts'

/** Histograms of routes by themselves: one costs as much as twenty counters. The SLA is about predictions. */
const mostHistograms: Record<RouteClass, number> = {
  predict: 24,
  registry: 16,
  health: 8,
  stream: 8,
}
/** Pairs of route and status that are counted by themselves; in other words: about two a route. */
const mostCounters = 448
const rest = 'other'

interface RouteSeries {
  requests: CounterSeries
  duration: HistogramSeries
  /** Constant part of its log lines. */
  logHead: string
  /** May lines be left out where the settings say so? Errors never are. */
  sampled: boolean
}

const methodNumbers: Record<string, number> = {
  GET: 1,
  POST: 2,
  PUT: 3,
  PATCH: 4,
  DELETE: 5,
  HEAD: 6,
}

interface At {
  method: string
  route: string
  routeClass: RouteClass
  status: number
}

export class HttpSeries {
  private readonly metrics: Metrics
  private readonly log: Log
  // Templates are constants with a hash already made; a key joined per request would need a new one.
  private readonly known = new Map<string, Map<number, RouteSeries>>()
  private readonly histograms = new Map<RouteClass, Set<HistogramSeries>>()
  private counters = 0

  constructor(metrics: Metrics, log: Log) {
    this.metrics = metrics
    this.log = log
  }

  /** Begins what is sure to come with the first prediction: failures must be seen as a rise, too. */
  begin(routes: readonly { method: string; path: string; class: RouteClass }[]): void {
    for (const { method, path, class: routeClass } of routes) {
      if (routeClass !== 'predict') continue
      const at = { method, route: path, routeClass }
      for (const status of [200, 500]) this.counterOf({ ...at, status })
    }
  }

  /** The series of a request that is answered with a status. */
  of({ route, routeClass, request }: Exchange, status: number): RouteSeries {
    const { method } = request
    const ofRoute = this.known.get(route) ?? new Map<number, RouteSeries>()
    const key = (status * 4 + classNumbers[routeClass]) * 8 + (methodNumbers[method] ?? 0)
    const found = ofRoute.get(key)
    if (found) return found
    // Methods nobody declared share one label: a client must not be able to make series.
    const shown = method in methodNumbers ? method : rest
    const at = { method: shown, route, routeClass, status }
    const series = {
      requests: this.counterOf(at),
      duration: this.histogramOf(at),
      logHead: this.log.accessHead(`"method":"${shown}","route":"${route}","status":${status}`),
      sampled: routeClass === 'predict' && status < 300,
    }
    this.known.set(route, ofRoute.set(key, series))
    return series
  }

  private counterOf({ method, route, routeClass, status }: At): CounterSeries {
    const { httpRequests } = this.metrics
    const labels = { route_class: routeClass, code: String(status) }
    const own = { method, route, ...labels }
    // What was begun is counted there, however many came before its first request.
    if (httpRequests.size < mostCounters || httpRequests.has(own)) return httpRequests.of(own)
    return httpRequests.of({ method: rest, route: rest, ...labels })
  }

  private histogramOf({ method, route, routeClass, status }: At): HistogramSeries {
    const { httpDuration } = this.metrics
    const labels = { route_class: routeClass, status_class: `${Math.floor(status / 100)}xx` }
    const own = this.histograms.get(routeClass) ?? new Set<HistogramSeries>()
    this.histograms.set(routeClass, own)
    // Errors are told from each other by their codes; how long they took, only where there is an SLA.
    const isOwn =
      (status < 300 || routeClass === 'predict') && own.size < mostHistograms[routeClass]
    if (!isOwn) return httpDuration.of({ method: rest, route: rest, ...labels })
    const series = httpDuration.of({ method, route, ...labels })
    own.add(series)
    return series
  }
}

const classNumbers: Record<RouteClass, number> = { predict: 0, registry: 1, health: 2, stream: 3 }
