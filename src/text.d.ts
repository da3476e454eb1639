// Files that are imported as text or as a path into the binary.
declare module '*.sql' {
  const text: string
  export default text
}
declare module '*.yml' {
  const text: string
  export default text
}
declare module '*.alloy' {
  const text: string
  export default text
}
declare module '*.service' {
  const text: string
  export default text
}
declare module '*/.env' {
  const text: string
  export default text
}
declare module '*/Dockerfile' {
  const text: string
  export default text
}
declare module '*/.dockerignore' {
  const text: string
  export default text
}
declare module 'swagger-ui-dist/*' {
  const path: string
  export default path
}
