import { Refusal } from '../../core/refusal/index.ts';

/**
 * The topics of one device. Exact names, four slashes, no dots (RabbitMQ maps dots), so that a
 * broker's ACL can bind a client to `v1/<fleet>/d/<device>/#` and nothing else.
 */
export interface DeviceTopics {
  /** To the device, retained: the signed desired state. */
  readonly desired: string;
  /** From the device, retained: its report. */
  readonly reported: string;
  /** From the device, not retained: one terminal answer per command. */
  readonly event: string;
  /** From the device and from its last will, retained: whether it is connected. */
  readonly live: string;
  /** From the device, not retained: requests the desired state if the broker does not keep it. */
  readonly get: string;
  /** From the device, retained: its telemetry, if it is configured to send it. */
  readonly telemetry: string;
  /** To the device, not retained: signed requests, if it is configured to answer them. */
  readonly ask: string;
  /** From the device, not retained: answers to requests for logs. */
  readonly log: string;
}

export type DeviceTopicKind = keyof DeviceTopics;

const kinds: readonly DeviceTopicKind[] = [
  'desired',
  'reported',
  'event',
  'live',
  'get',
  'telemetry',
  'ask',
  'log',
];

/**
 * An AC Name (types.md#ac-name) of at most 64 characters, so that a topic stays below 160 bytes on
 * every broker.
 */
const topicName = /^(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*$/;

/**
 * The topics of `device` in `fleet`.
 * @throws Refusal `input-invalid` when a name could widen the topic (`+`, `#`, `/`) or is not an AC
 *   Name of 1…64 characters.
 */
export function deviceTopics(fleet: string, device: string): DeviceTopics {
  requireTopicName('fleet', fleet);
  requireTopicName('device', device);
  const base = `v1/${fleet}/d/${device}`;
  return {
    desired: `${base}/desired`,
    reported: `${base}/reported`,
    event: `${base}/event`,
    live: `${base}/live`,
    get: `${base}/get`,
    telemetry: `${base}/telemetry`,
    ask: `${base}/ask`,
    log: `${base}/log`,
  };
}

/**
 * The MQTT client identifier of a device, or of another client of the fleet. Names have no
 * underscore, so two different pairs of names never have the same identifier. It has no dot, which
 * NATS server 2.15 rejects.
 */
export function clientIdentifier(fleet: string, client: string): string {
  return `${fleet}_${client}`;
}

function requireTopicName(what: string, name: string): void {
  if (topicName.test(name)) return;
  throw new Refusal(
    'input-invalid',
    `${what} name ${JSON.stringify(name)} must be lower-case letters and digits with single dashes between, at most 64`,
  );
}

/**
 * Where a version of the root of trust is retained, for the whole fleet: a topic for each version,
 * so that a device that was away receives every step.
 */
export function rootTopic(fleet: string, version: number): string {
  deviceTopics(fleet, 'any');
  return `v1/${fleet}/root/${version}`;
}

/** Where the signed desired state of a group is retained, for all of its devices. */
export function groupTopic(fleet: string, group: string): string {
  requireTopicName('group', group);
  deviceTopics(fleet, 'any');
  return `v1/${fleet}/group/${group}/desired`;
}

/** The filter with which an operator receives one kind of message of every device of a fleet. */
export function fleetFilter(fleet: string, kind: DeviceTopicKind): string {
  deviceTopics(fleet, 'any');
  return `v1/${fleet}/d/+/${kind}`;
}

/** Parses the topic of a group; undefined for one that `groupTopic` cannot return. */
export function parseGroupTopic(
  topic: string,
): { readonly fleet: string; readonly group: string } | undefined {
  const [version, fleet = '', kind, group = '', ...rest] = topic.split('/');
  if (version !== 'v1' || kind !== 'group' || rest.join('/') !== 'desired') return undefined;
  return topicName.test(fleet) && topicName.test(group) ? { fleet, group } : undefined;
}

/** Parses the topic of a device; undefined for one that `deviceTopics` cannot return. */
export function parseDeviceTopic(
  topic: string,
): { readonly fleet: string; readonly device: string; readonly kind: DeviceTopicKind } | undefined {
  const fleetEnd = topic.indexOf('/', 3);
  if (!topic.startsWith('v1/') || !topic.startsWith('/d/', fleetEnd)) return undefined;
  const deviceEnd = topic.indexOf('/', fleetEnd + 3);
  const fleet = topic.slice(3, fleetEnd);
  const device = topic.slice(fleetEnd + 3, deviceEnd);
  const kind = topic.slice(deviceEnd + 1);
  if (deviceEnd < 0 || !isKind(kind) || !topicName.test(fleet) || !topicName.test(device)) return undefined;
  return { fleet, device, kind };
}

const isKind = (text: string): text is DeviceTopicKind => kinds.some((kind) => kind === text);
