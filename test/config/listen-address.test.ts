// Addresses of listeners and brokers.

import * as assert from 'uvu/assert'
import {
  formatHostPort,
  isLoopback,
  parseHostPort,
  parseMqttAddress,
} from '../../agent/config/listen-address.ts'
import { suite } from '../support/suite.ts'

const test = suite('listen address')

test('host and port are told apart, IPv6 in brackets', () => {
  assert.equal(parseHostPort('kafka.example.com:9092'), { host: 'kafka.example.com', port: 9092 })
  assert.equal(parseHostPort('[::1]:0'), { host: '::1', port: 0 })
  for (const wrong of ['', 'host', ':1', 'a:b', 'a:70000', '::1:9092', 'a b:1', 'http://a:1']) {
    assert.is(parseHostPort(wrong), undefined, wrong)
  }
  assert.is(formatHostPort({ host: '::1', port: 5 }), '[::1]:5')
  assert.is(formatHostPort({ host: 'a', port: 5 }), 'a:5')
})

test('a listener of MQTT has a scheme, and the port of its scheme unless it says another', () => {
  assert.equal(parseMqttAddress('tcp://0.0.0.0'), { scheme: 'mqtt', host: '0.0.0.0', port: 1883 })
  assert.equal(parseMqttAddress('mqtts://[::]'), { scheme: 'mqtts', host: '::', port: 8883 })
  assert.equal(parseMqttAddress('ws://a:9/'), { scheme: 'ws', host: 'a', port: 9 })
  for (const wrong of ['127.0.0.1:1883', 'http://a', 'mqtt://', 'mqtt://a:b', 'mqtt://a/b']) {
    assert.is(parseMqttAddress(wrong), undefined, wrong)
  }
})

test('only addresses of this machine are loopback', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) assert.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.com', 'localhost.x']) {
    assert.not.ok(isLoopback(host), host)
  }
})

test.run()
