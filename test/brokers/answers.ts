/**
 * What each broker answers, in the order of the columns. docs/brokers.md shows this table; a broker
 * that answers otherwise fails conformance.test.ts. `-` stands where nothing is asked.
 */
export const columns = [
  'aedes',
  'Mosquitto',
  'RabbitMQ',
  'RabbitMQ, 3 nodes',
  'NATS',
  'NATS, 3 nodes',
] as const;
export type Column = (typeof columns)[number];

const rows: readonly (readonly [string, ...string[]])[] = [
  [
    'a desired state that was retained before the device came reaches it',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
  ],
  ['the same on another node', '-', '-', '-', 'no', '-', 'yes'],
  ['a subscription with `+` brings retained reports', 'yes', 'yes', 'no', 'no', 'yes', 'yes'],
  ['an empty retained message removes what is retained', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes'],
  ['a message of 128 KiB arrives whole', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes'],
  ['two hundred messages arrive in their order, none twice', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes'],
  [
    'the will of a device that was cut off is published and retained',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
  ],
  ['a second client of the same identifier ends the first', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes'],
  ['and the will of the first is published then', 'yes', 'yes', 'no', 'no', 'no', 'no'],
  [
    'keepalive periods after which a silent client is cut off',
    '1.5 to 2',
    '1.5 to 2',
    'about 3',
    'about 3',
    '1.5 to 2',
    '1.5 to 2',
  ],
  [
    'a device connects again after a crash of the broker, reports and takes a command',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
  ],
  ['a desired state is kept when the node that took it is killed', '-', '-', '-', 'no', '-', 'yes'],
  [
    'a desired state is kept when all of the broker is killed 5 s after its PUBACK',
    'no',
    'yes',
    'yes',
    'yes',
    'yes',
    'yes',
  ],
  [
    'the same, killed directly after its PUBACK',
    'not always',
    'not always',
    'not always',
    'not always',
    'yes',
    'yes',
  ],
];

/** Where RabbitMQ 4 (tried: 4.0.5 and 4.3.6) answers otherwise than 3.10.8. */
const ofRabbitmq4: Readonly<Record<string, string>> = {
  'and the will of the first is published then': 'yes',
  'keepalive periods after which a silent client is cut off': '1.5 to 2',
};

/**
 * What `column` answers.
 * @param release of the broker that is installed, such as 4.0.5
 */
export function answersOf(column: Column, release = ''): Readonly<Record<string, string>> {
  const isRabbitmq4 = column.startsWith('RabbitMQ') && Number.parseInt(release) >= 4;
  return { ...answers[column], ...(isRabbitmq4 ? ofRabbitmq4 : {}) };
}

/** By column and question, as the versions of Debian 12 answer. */
export const answers: Readonly<Record<Column, Readonly<Record<string, string>>>> = Object.fromEntries(
  columns.map((column, index) => [
    column,
    Object.fromEntries(rows.map(([words, ...given]) => [words, given[index] ?? ''])),
  ]),
) as Record<Column, Record<string, string>>;

/** The lines of docs/brokers.md about RabbitMQ 4. */
export function rabbitmq4Lines(): string {
  return Object.entries(ofRabbitmq4)
    .map(([words, answer]) => `- ${words}: ${answer}`)
    .join('\n');
}

/** The table as docs/brokers.md has it. */
export function answersTable(): string {
  const lines = [['', ...columns], ['---', ...columns.map(() => '---')], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`.replace('|  |', '| |')).join('\n');
}
