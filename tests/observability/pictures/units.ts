// Numbers as Grafana writes them, for the units that the dashboards use.

const short = (value: number, digits = 3): string => {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1)
  return String(Number(value.toPrecision(digits)))
}

function scaled(value: number, base: number, names: readonly string[]): string {
  let rest = value
  let at = 0
  while (Math.abs(rest) >= base && at < names.length - 1) {
    rest /= base
    at += 1
  }
  return `${short(rest)}${names[at]}`
}

function duration(seconds: number): string {
  const size = Math.abs(seconds)
  if (size === 0) return '0 s'
  if (size < 1e-3) return `${short(seconds * 1e6)} µs`
  if (size < 1) return `${short(seconds * 1e3)} ms`
  if (size < 60) return `${short(seconds)} s`
  if (size < 3600) return `${short(seconds / 60)} min`
  return size < 86_400 ? `${short(seconds / 3600)} h` : `${short(seconds / 86_400)} d`
}

const perSecond: Record<string, string> = {
  reqps: 'req/s',
  cps: '/s',
  ops: 'ops/s',
  logs: '/s',
}

export function written(value: number, unit: string, decimals?: number): string {
  switch (unit) {
    case 's':
      return duration(value)
    case 'percentunit':
      return `${decimals === undefined ? short(value * 100) : (value * 100).toFixed(decimals)}%`
    case 'bytes':
      return scaled(value, 1024, [' B', ' KiB', ' MiB', ' GiB'])
    case 'bool_yes_no':
      return value === 0 ? 'No' : 'Yes'
    case 'short':
      if (decimals !== undefined) return value.toFixed(decimals)
      return scaled(value, 1000, ['', ' K', ' Mil'])
    default: {
      const suffix = perSecond[unit]
      if (suffix === undefined) throw new Error(`no way to write the unit ${unit}`)
      return `${short(value)} ${suffix}`
    }
  }
}

/** Round values that divide a range into about `count` parts. */
export function ticks(low: number, high: number, count: number, unit: string): number[] {
  if (unit === 'bytes') {
    const whole = 1024 ** Math.floor(Math.log(Math.max(1, high)) / Math.log(1024))
    return ticks(low / whole, high / whole, count, 'short').map((value) => value * whole)
  }
  const rough = (high - low) / count || 1
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999)!
  const first = Math.ceil(low / step - 1e-9)
  const last = Math.floor(high / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step)
}
