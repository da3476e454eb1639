// Every endpoint of MLflow's REST API that is served, and what they work with.
import type { Door } from '../http/server.ts'
import type { Promotion } from '../promotion/promotion.ts'
import { artifactEndpoints } from './artifacts.ts'
import { apiDoor, type Endpoint } from './door.ts'
import { experimentEndpoints } from './experiments.ts'
import { loggedModelEndpoints } from './logged-models.ts'
import { modelVersionEndpoints } from './model-versions.ts'
import { registeredModelEndpoints } from './registered-models.ts'
import { runEndpoints } from './runs.ts'
import { searchEndpoints } from './search.ts'

/** What the endpoints hand to the verbs. */
export type MlflowParts = Promotion

const endpointsOf = (s: MlflowParts): Endpoint[] => [
  ...experimentEndpoints(s),
  ...runEndpoints(s),
  ...loggedModelEndpoints(s),
  ...registeredModelEndpoints(s),
  ...modelVersionEndpoints(s),
  ...artifactEndpoints(s),
  ...searchEndpoints(s),
]

export function mlflowDoor(s: MlflowParts): Door {
  return apiDoor({ access: s.access, endpoints: endpointsOf(s), maxBody: s.config['max-body'] })
}
