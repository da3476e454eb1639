// What this build is.
import { version as packageVersion } from '../package.json'

declare const RELAIS_COMMIT: string | undefined

export const version: string = packageVersion
/** Stamped by the build; `dev` when run from source. */
export const commit: string = typeof RELAIS_COMMIT === 'undefined' ? 'dev' : RELAIS_COMMIT
/** MLflow's API level that clients may rely on (RULES §22). */
export const mlflowLevel = '3.11.0'
