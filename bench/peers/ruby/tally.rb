# The counts of handlers, in the same files as apps/tally.py. Ruby cannot map files: each write is one pwrite.
module Tally
  CAPACITY = ENV.fetch("BENCH_CAPACITY", "0").to_i
  MIDDLE = (CAPACITY + 7) / 8 * 8
  TURNS_PER_US = ENV.fetch("BENCH_TURNS_PER_US", "1").to_f
  LOCK = Mutex.new
  @seen = Hash.new(0)

  def self.now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def self.spin(turns)
    value = 1
    turns.times { value = (value * 1103515245 + 12345) & 0x7fffffff }
    value
  end

  def self.file
    @file || LOCK.synchronize { @file ||= claim }
  end

  def self.claim
    number = 0
    begin
      path = File.join(ENV.fetch("BENCH_TALLY"), "slot-#{number}")
      file = File.new(path, File::RDWR | File::CREAT | File::EXCL | File::BINARY, 0o600)
    rescue Errno::EEXIST
      number += 1
      retry
    end
    file.truncate(MIDDLE + 16 * CAPACITY)
    file
  end

  def self.handle(n, us)
    if us > 0
      file.pwrite([now].pack("E"), MIDDLE + 8 * n)
      spin((us * TURNS_PER_US).to_i)
      file.pwrite([now].pack("E"), MIDDLE + 8 * CAPACITY + 8 * n)
    end
    count = LOCK.synchronize { @seen[n] += 1 }
    file.pwrite([count].pack("C"), n)
  end

  def self.turns_in_us
    turns = 20_000
    best = (1..60).map { begin_s = now; spin(turns); now - begin_s }.min
    turns / best / 1e6
  end
end

puts Tally.turns_in_us if $PROGRAM_NAME == __FILE__
