// Native API: the dashboards that the binary brings along.
import { Elysia, t } from 'elysia'

import type { Guard } from '../http/guard.ts'
import { dashboardNamed, listDashboards } from './dashboards.ts'

export function stackRoutes(guard: Guard) {
  return new Elysia({ detail: { tags: ['operation'] } })
    .use(guard)
    .get('/api/v1/dashboards', () => ({ dashboards: listDashboards() }), {
      need: { right: 'metrics:read' },
      detail: { summary: 'Grafana dashboards that come with the server' },
    })
    .get(
      '/api/v1/dashboards/:name',
      ({ params }) => {
        const headers = { 'content-type': 'application/json' }
        return new Response(dashboardNamed(params.name), { headers })
      },
      {
        params: t.Object({ name: t.String({ examples: ['service'] }) }),
        need: { right: 'metrics:read' },
        detail: { summary: 'One dashboard, as Grafana imports it' },
      },
    )
}
