// Swagger UI from the binary, and the OpenAPI document behind it.
import { swagger } from '@elysiajs/swagger'
import { type AnyElysia, Elysia } from 'elysia'
import icon from 'swagger-ui-dist/favicon-32x32.png' with { type: 'file' }
import bundle from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }

import { fileResponse } from './file.ts'
import type { Guard } from './guard.ts'

import css from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }

type Document = Record<string, unknown> & { paths: Record<string, unknown> }

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Relais API</title>
<link rel="icon" href="docs/icon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`

/** Less air above and around what people come for. */
const style = `body { margin: 0; background: #fff; }
.swagger-ui .wrapper { max-width: 1180px; }
.swagger-ui .info { margin: 28px 0 8px; }
.swagger-ui .info hgroup.main a { display: none; }
.swagger-ui .scheme-container { margin: 0 0 12px; padding: 4px 0 16px; box-shadow: none; border-bottom: 1px solid #d8dde7; }
.swagger-ui .opblock-tag { font-size: 20px; padding: 8px 12px; }
.swagger-ui .auth-container input[type=text] { width: 100%; max-width: none; box-sizing: border-box; }
`

/**
 * After "Authorize" the document is fetched again with the token, so that the models the token may
 * predict appear. Options in the page's own URL are ignored: they could point it elsewhere.
 */
const start = `'use strict'
const specUrl = new URL('docs/json', location.href).href
let token = null
const ui = SwaggerUIBundle({
  url: specUrl,
  dom_id: '#ui',
  deepLinking: true,
  queryConfigEnabled: false,
  validatorUrl: null,
  tryItOutEnabled: false,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,
  presets: [SwaggerUIBundle.presets.apis],
  requestInterceptor: (request) => {
    if (token !== null && request.url === specUrl) request.headers.Authorization = 'Bearer ' + token
    return request
  },
  onComplete: () => {
    const read = () => {
      const entry = ui.authSelectors.authorized().get('bearer')
      const value = entry ? entry.get('value') : null
      if (value === token) return
      token = value
      ui.specActions.download(specUrl)
    }
    if (!window.watching) window.watching = ui.getStore().subscribe(() => setTimeout(read))
  },
})
`

/** No inline script or style, nothing from elsewhere. Swagger UI draws icons from data: URLs. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const headers = (type: string): Record<string, string> => ({
  'content-type': type,
  'content-security-policy': policy,
  'x-frame-options': 'DENY',
})

/** Which body types Elysia can parse is no promise of ours: everything native is JSON. */
function onlyJson(document: Document): void {
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path as Record<string, { requestBody?: Body }>)) {
      const content = operation.requestBody?.content
      const json = content?.['application/json']
      if (operation.requestBody && json)
        operation.requestBody.content = { 'application/json': json }
    }
  }
}

/** Sections of the page, in this order. */
const sections: readonly (readonly [name: string, what: string])[] = [
  ['predict', 'Live models that your token may use; each example runs as it stands'],
  ['models', 'Registered models and their aliases'],
  ['versions', 'Upload, download, promotion, rollback'],
  ['access', 'Tokens, signing keys, audit trail'],
  ['operation', 'Backup, check-up, metrics, dashboards'],
  ['health', 'For probes and load balancers'],
]

interface Body {
  content: Record<string, unknown>
}

/** The OpenAPI document of the routes of `app`, generated once. */
export async function openApiOf(app: AnyElysia, version: string): Promise<Document> {
  const description = 'A token made with `relais token create`, or the one in DIR/admin.token.'
  const bearer = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description } as const
  const generator = new Elysia()
    .use(
      swagger({
        path: '/spec',
        documentation: {
          info: {
            title: 'Relais',
            version,
            description:
              'Model registry and inference. Press Authorize and paste a token: the models it may ' +
              'predict then appear, each with an example that runs.',
          },
          tags: sections.map(([name, description]) => ({ name, description })),
          components: { securitySchemes: { bearer } },
        },
      }),
    )
    .use(app)
  const answer = await generator.handle(new Request('http://localhost/spec/json'))
  const document = (await answer.json()) as Document
  onlyJson(document)
  for (const path of Object.keys(document.paths)) {
    if (path.startsWith('/docs') || path.startsWith('/spec')) delete document.paths[path]
  }
  return document
}

export interface DocsOptions {
  /** Paths and schemas to add for this caller. */
  entriesFor: (request: Request) => Promise<Record<string, unknown>>
  base: () => Promise<Document>
}

export function docsRoutes(guard: Guard, options: DocsOptions) {
  const open = 'registry' as const
  const hide = { hide: true }
  const file =
    (path: string, type: string) =>
    ({ request }: { request: Request }) =>
      fileResponse(request, path, { ...headers(type), 'cache-control': 'max-age=3600' })
  const html = () => new Response(page, { headers: headers('text/html; charset=utf-8') })
  const script = 'text/javascript; charset=utf-8'
  const sheet = 'text/css; charset=utf-8'
  return new Elysia()
    .use(guard)
    .get('/docs', html, { open, detail: hide })
    .get('/docs/start.js', () => new Response(start, { headers: headers(script) }), {
      open,
      detail: hide,
    })
    .get('/docs/page.css', () => new Response(style, { headers: headers(sheet) }), {
      open,
      detail: hide,
    })
    .get('/docs/swagger-ui.js', file(bundle, script), { open, detail: hide })
    .get('/docs/swagger-ui.css', file(css, sheet), { open, detail: hide })
    .get('/docs/icon.png', file(icon, 'image/png'), { open, detail: hide })
    .get(
      '/docs/json',
      async ({ request }) => {
        const document = await options.base()
        const paths = { ...(await options.entriesFor(request)), ...document.paths }
        return Response.json({ ...document, paths }, { headers: { 'cache-control': 'no-store' } })
      },
      { open, detail: hide },
    )
}
