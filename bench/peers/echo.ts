// The baseline: JSON in, JSON out, nothing else.
const server = Bun.serve({
  port: 0,
  fetch: async (request) => Response.json(await request.json()),
})
console.log(server.port)
