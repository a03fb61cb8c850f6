import type { Fields } from './fields.ts';

interface Annotation {
  readonly name: string;
  readonly value: string;
}

/** The action of a probe as an annotation; equal actions have equal annotations. */
type Action = Annotation;

interface Probe {
  readonly action?: Action;
  readonly delay: number;
  readonly period: number;
  readonly timeout: number;
  readonly failures: number;
  readonly successes: number;
}

/**
 * The annotations of a container's probes. A readiness probe is the probe of the app. A startup
 * probe adds time to start; without a readiness probe, it is the probe. A liveness probe is a
 * finding: no probe restarts an app here.
 *
 * @param ports ports of the container by name
 */
export function probeAnnotations(
  container: Fields,
  ports: ReadonlyMap<string, number>,
): readonly Annotation[] {
  if (container.has('livenessProbe')) {
    container.take('livenessProbe');
    container.findings.add(
      container.at('livenessProbe'),
      'a probe never restarts an app here; let it end by itself, or use a readinessProbe to have an update undone',
    );
  }
  const read = (fields: Fields): Probe => readProbe(fields, ports);
  const ready = container.object('readinessProbe', read);
  const startup = container.object('startupProbe', read);
  const probe = ready ?? startup;
  if (probe?.action === undefined) return [];
  if (startup?.action !== undefined && startup.action.value !== probe.action.value) {
    container.findings.add(container.at('startupProbe'), 'has another action than readinessProbe');
  }
  // Both delays begin with the container.
  const startupSeconds = startup === undefined ? 0 : startup.delay + startup.period * startup.failures;
  const startSeconds = Math.max(probe.delay, startupSeconds);
  return [
    probe.action,
    { name: 'wherry/probe-interval', value: String(probe.period) },
    { name: 'wherry/probe-timeout', value: String(probe.timeout) },
    { name: 'wherry/probe-failures', value: String(probe.failures) },
    { name: 'wherry/probe-successes', value: String(probe.successes) },
    ...(startSeconds > 0 ? [{ name: 'wherry/probe-start-period', value: String(startSeconds) }] : []),
  ];
}

/** Defaults are those of Kubernetes. */
function readProbe(fields: Fields, ports: ReadonlyMap<string, number>): Probe {
  if (['httpGet', 'tcpSocket', 'exec', 'grpc'].filter((kind) => fields.has(kind)).length !== 1) {
    fields.findings.add(fields.path, 'expected one of httpGet, tcpSocket and exec');
  }
  const http = fields.object('httpGet', (get) => {
    get.only('scheme', 'HTTP');
    const port = portOf(get, ports);
    const path = (get.string('path') ?? '').replace(/^\/?/, '/');
    return port === undefined ? undefined : { name: 'wherry/probe-http', value: `${port}${path}` };
  });
  const tcp = fields.object('tcpSocket', (socket) => {
    const port = portOf(socket, ports);
    return port === undefined ? undefined : { name: 'wherry/probe-tcp', value: String(port) };
  });
  const exec = fields.object('exec', (exec) => {
    const command = exec.strings('command') ?? [];
    if (command.length === 0) exec.findings.add(exec.at('command'), 'is missing');
    return { name: 'wherry/probe-exec', value: JSON.stringify(command) };
  });
  const action = http ?? tcp ?? exec;
  // A zero stands for the default.
  const number = (key: string, standard: number): number => {
    const value = fields.count(key) ?? 0;
    return value === 0 ? standard : value;
  };
  return {
    ...(action === undefined ? {} : { action }),
    delay: number('initialDelaySeconds', 0),
    period: number('periodSeconds', 10),
    timeout: number('timeoutSeconds', 1),
    failures: number('failureThreshold', 3),
    successes: number('successThreshold', 1),
  };
}

/** A number, also as text, or the name of a port of the container. */
function portOf(fields: Fields, ports: ReadonlyMap<string, number>): number | undefined {
  const port = fields.take('port');
  const number = typeof port === 'string' ? (ports.get(port) ?? Number(port)) : port;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 65_535)
    return number;
  fields.findings.add(fields.at('port'), 'expected a port, or the name of a port of the container');
  return undefined;
}
