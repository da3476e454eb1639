// The stack as shipped, with the real server, Prometheus and Alertmanager, and stand-ins for the rest.
import { serve, type Served, type ServeOptions } from '../support/binary.ts'
import { freePort } from '../support/port.ts'
import {
  type Alertmanager,
  type Prometheus,
  startAlertmanager,
  startPrometheus,
} from '../support/prometheus.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { shippedAlertmanager, shippedPrometheus } from './shipped.ts'

export const routingKey = '0123456789abcdef0123456789abcdef'

export interface StackOptions {
  server: ServeOptions
  /** Between scrapes and between evaluations. */
  seconds: number
  /** Changes the text of rule files. */
  rules?: (text: string) => string
  groupWait?: string
  groupInterval?: string
}

export interface Stack {
  server: Served
  prometheus: Prometheus
  alertmanager: Alertmanager
  receivers: Receivers
  /** host:port of the server, where Prometheus looks for it. */
  address: string
  /** Starts the server again on its data and port, after it has ended. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Answers /metrics in the name of programs that cannot be had here (Grafana, Loki, Alloy). */
function standIn(): { address: string; stop: () => Promise<void> } {
  const headers = { 'content-type': 'text/plain; version=0.0.4' }
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => new Response('# nothing is measured here\n', { headers }),
  })
  return { address: `127.0.0.1:${server.port}`, stop: () => server.stop(true) }
}

/** The token of the scrape job, as `relais stack init` makes it. */
async function scrapeToken(server: Served): Promise<string> {
  return server.token('viewer', 'prometheus')
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { seconds, rules, groupWait = '0s', groupInterval = '1s' } = options
  const listen = ['--port', String(freePort())]
  const serving = { ...options.server, flags: [...(options.server.flags ?? []), ...listen] }
  const server = await serve(serving)
  const others = standIn()
  const receivers = startReceivers(routingKey)
  const ofAlertmanager = shippedAlertmanager({
    secrets: {
      slack_webhook_url: receivers.slack.url,
      pagerduty_routing_key: routingKey,
    },
    groupWait,
    groupInterval,
    pagerDutyUrl: receivers.pagerDuty.url,
  })
  const alertmanager = await startAlertmanager(ofAlertmanager.config, ofAlertmanager)
  const address = new URL(server.url).host
  const port = freePort()
  const ofPrometheus = shippedPrometheus({
    hosts: {
      'relais:8080': address,
      'localhost:9090': `127.0.0.1:${port}`,
      'alertmanager:9093': new URL(alertmanager.url).host,
      'grafana:3000': others.address,
      'loki:3100': others.address,
      'alloy:12345': others.address,
    },
    seconds,
    secrets: { metrics_token: await scrapeToken(server) },
    ...(rules ? { rules } : {}),
  })
  // What fires before Alertmanager is found would be told again only after a minute.
  const flags = [`--rules.alert.resend-delay=${seconds}s`]
  const prometheus = await startPrometheus(ofPrometheus.config, { ...ofPrometheus, port, flags })
  const stack: Stack = {
    server,
    prometheus,
    alertmanager,
    receivers,
    address,
    restart: async () => {
      stack.server = await serve({ ...serving, data: server.data })
    },
    stop: async () => {
      await Promise.all([prometheus.stop(), alertmanager.stop(), others.stop(), receivers.stop()])
      await stack.server.stop()
    },
  }
  return stack
}
