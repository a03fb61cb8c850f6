/** The MQTT side of a device: topics, codec, presence, reconnect policy. It knows nothing of pods or images. */
export type * from './report.ts';
