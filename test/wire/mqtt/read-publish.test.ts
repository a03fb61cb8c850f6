import { describe, expect, it } from 'vitest';
import { readPublish } from '../../../src/wire/mqtt/read-publish.ts';

const body = (hex: string): Buffer => Buffer.from(hex, 'hex');
const topic = '0003742f61'; // t/a

describe('reading a message of QoS 0', () => {
  it.each<[string, 4 | 5, string, string]>([
    ['MQTT 3.1.1', 4, `${topic}6869`, 'hi'],
    ['MQTT 3.1.1, empty', 4, topic, ''],
    ['MQTT 5 without properties', 5, `${topic}006869`, 'hi'],
    ['MQTT 5 with a payload format indicator', 5, `${topic}0201016869`, 'hi'],
    ['MQTT 5 with properties of 128 bytes', 5, `${topic}8001${'01'.repeat(128)}6869`, 'hi'],
  ])('reads it in %s', (_name, version, hex, payload) => {
    const message = readPublish(body(hex), version);
    expect([message.topic, Buffer.from(message.payload).toString()]).toEqual(['t/a', payload]);
  });

  it.each<[string, 4 | 5, string]>([
    ['one byte', 4, '00'],
    ['no topic', 4, '00006869'],
    ['a topic that ends early', 4, '0004742f61'],
    ['no length of properties', 5, topic],
    ['properties that end early', 5, `${topic}0301`],
    ['a length of properties of five bytes', 5, `${topic}ffffffff7f`],
  ])('refuses a body with %s', (_name, version, hex) => {
    expect(() => readPublish(body(hex), version)).toThrow(/malformed message/);
  });
});
