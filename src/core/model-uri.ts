// Model references as MLflow users write them: models:/NAME/STAGE, NAME/3, NAME@alias.

export interface ModelReference {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
}

/** Takes apart `[models:/]NAME[/VERSION|/STAGE|@ALIAS]`; null when there is no name. */
export function parseModelUri(text: string): ModelReference | null {
  const path = text.replace(/^models:\//, '')
  const slash = path.indexOf('/')
  const cut = slash >= 0 ? slash : path.lastIndexOf('@')
  if (cut < 0) return path === '' ? null : { model: path, reference: undefined }
  const [model, reference] = [path.slice(0, cut), path.slice(cut + 1)]
  return model === '' || reference === '' || reference.includes('/') ? null : { model, reference }
}
