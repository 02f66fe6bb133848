# Sidekiq: `sidekiq -r ./sidekiq_app.rb` is one worker process, `ruby sidekiq_app.rb` the publisher.
require "json"
require "sidekiq"
require_relative "tally"

Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("BENCH_URL") } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("BENCH_URL") } }
Sidekiq.logger.level = Logger::WARN

class Handler
  include Sidekiq::Worker
  sidekiq_options queue: "bench", retry: false

  def perform(n, us)
    Tally.handle(n, us)
  end
end

def wait_until(due_s)
  while (left_s = due_s - Tally.now) > 0
    sleep(left_s - 0.0005) if left_s > 0.0005
  end
end

def answer(order)
  numbers = (order["first"]...order["first"] + order.fetch("count", 0))
  begin_s = Tally.now
  case order["do"]
  when "bulk"
    numbers.each_slice(1000) { |some| Sidekiq::Client.push_bulk("class" => Handler, "args" => some.map { |n| [n, order["us"]] }) }
    { seconds: Tally.now - begin_s }
  when "single"
    numbers.each { |n| Handler.perform_async(n, order["us"]) }
    { seconds: Tally.now - begin_s }
  else
    start_s = begin_s + 0.02
    sent_s = order["at"].each_with_index.map do |at_s, index|
      wait_until(start_s + at_s)
      sent = Tally.now
      Handler.perform_async(order["first"] + index, order["us"])
      sent
    end
    { begin_s: start_s, sent_s: sent_s }
  end
end

if $PROGRAM_NAME == __FILE__
  $stdout.sync = true
  puts JSON.generate(ready: true)
  $stdin.each_line { |line| puts JSON.generate(answer(JSON.parse(line))) }
end
