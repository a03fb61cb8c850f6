import { askHttp, askTcp, noAnswer, type ProbeOutcome } from '../health/index.ts';
import type { DeployedPod } from '../deploy/index.ts';
import { type CompiledProbe, crunError, probeFiles } from '../pod/index.ts';
import type { Systemd } from '../systemd/index.ts';

/** Addresses of a pod in its network; none while it is not attached. */
export type ReadPodAddresses = (network: string, uuid: string) => readonly string[];

/** Reads a small file that a probe wrote; undefined when there is none. */
export type ReadProbeFile = (path: string) => string | undefined;

export interface AskPorts {
  readonly systemd: Systemd;
  readonly readAddresses: ReadPodAddresses;
  readonly readFile: ReadProbeFile;
}

/** Probes an app of `pod` once. */
export async function askProbe(
  { ask, rules }: CompiledProbe,
  pod: DeployedPod,
  ports: AskPorts,
): Promise<ProbeOutcome> {
  const timeoutMs = rules.timeoutSeconds * 1000;
  if (ask.kind === 'exec') return await askProgram(ask, timeoutMs, ports);
  const host = addressOf(pod, ports.readAddresses);
  if (host === undefined) {
    return { ok: false, detail: `the pod has no address in the network ${pod.network ?? 'host'}` };
  }
  return ask.kind === 'http'
    ? await askHttp({ host, port: ask.port, path: ask.path, timeoutMs })
    : await askTcp({ host, port: ask.port, timeoutMs });
}

function addressOf(pod: DeployedPod, readAddresses: ReadPodAddresses): string | undefined {
  return pod.network === undefined ? '127.0.0.1' : readAddresses(pod.network, pod.uuid)[0];
}

async function askProgram(
  { unit, directory }: Extract<CompiledProbe['ask'], { kind: 'exec' }>,
  timeoutMs: number,
  { systemd, readFile }: AskPorts,
): Promise<ProbeOutcome> {
  const result = await systemd.run(unit);
  if (result === 'timeout') return { ok: false, detail: noAnswer(timeoutMs) };
  const status = result === 'done' ? readFile(`${directory}/${probeFiles.answer}`)?.trim() : undefined;
  if (status === undefined) return { ok: false, detail: `its program could not be run (${result})` };
  if (status === '0') return { ok: true, detail: 'exit status 0' };
  const error = crunError(readFile(`${directory}/${probeFiles.log}`) ?? '');
  return {
    ok: false,
    detail: error === undefined ? `exit status ${status}` : `its program was not run: ${error}`,
  };
}
