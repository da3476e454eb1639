// UNTESTED twin of locustfile.py for k6: it has never been run; the Locust script is what counts.
// RELAIS_TOKEN=… k6 run -e RELAIS_URL=http://127.0.0.1:8080 bench/sla/k6.js
import { check } from 'k6'
import http from 'k6/http'

// Requirement A4, in milliseconds.
export const options = {
  scenarios: {
    callers: {
      executor: 'constant-arrival-rate',
      rate: 500,
      timeUnit: '1s',
      duration: '60s',
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  thresholds: {
    http_req_duration: ['p(50)<50', 'p(95)<150', 'p(99)<300'],
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
  },
}

const model = __ENV.RELAIS_MODEL || 'iris'
const url = `${__ENV.RELAIS_URL || 'http://127.0.0.1:8080'}/v1/models/${model}:predict`
const body = __ENV.RELAIS_BODY || '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
const headers = {
  Authorization: `Bearer ${__ENV.RELAIS_TOKEN}`,
  'Content-Type': 'application/json',
}

// oxlint-disable-next-line import/no-default-export -- k6 asks for it
export default function predict() {
  const answer = http.post(url, body, { headers })
  check(answer, {
    predicted: ({ status, body: text }) => status === 200 && text.includes('predictions'),
  })
}
