-- One step of a budget, as costlab.monitoring.budget.engine says it in Python; tests hold both together.
--
-- KEYS  1 books, a hash: generation, stopped, what was told, due (before this time no reservation expires), and
--         one field for each day and month, "spent reserved extra presumed quiet plan": below the amount "quiet" no limit
--         of this plan has anything to tell any more;
--         one field for each writer, "number time": of its last step
--       2 reservations, a sorted set of "token amount day". The score is when one expires that is open; when one expired
--         that has lapsed, moved by LAPSED; when one was closed, moved by DONE. At 0 stands "=generation": books and
--         reservations belong together
--       3 the audit trail, a list of JSON
-- ARGV  1 step   2 the generation of books that the caller knows, or one that it offers, after a plus   3 now, or nothing
--         where the server's clock says   4 plan, JSON: {"stops_when_lost": ..., "limits": [[name, 1 for day or 2 for month,
--         micro-dollars, 1 where it stops]], "by": {priority: [place of its daily and of its monthly limit]}, "hard": [two
--         micro-dollars]}   5 a short name of the plan   6 the writer   7 the number of this step of its   8 the highest
--         number to which it has had an answer   9 day   10 the guard's time, or nothing where the day is that of a
--         reservation   11 on: what the step needs; of a reservation token and amount
-- Answer: outcome, generation; of a refusal also limit, its amount, spent, reserved, whether stopped; then, after the word
--         entries, what was added to the audit trail. Where nothing but the outcome is new, the outcome alone.
--         To a guard whose time is another: clock, the time. Of the status: stopped, the accounts of day and month, the time.
local LAPSED, DONE = -2e11, -1e11
local LAPSED_KEPT_S, SETTLED_KEPT_S, CLOCK_TOLERANCE_S = 35 * 86400, 3600, 60

local call, match, format = redis.call, string.match, string.format
local books, day, writer = KEYS[1], ARGV[9], 'writer|' .. ARGV[6]
local month = string.sub(day, 1, 7)
local step, now = ARGV[1], tonumber(ARGV[3])
if not now then
  local time = call('TIME')
  now = time[1] + time[2] / 1e6
end
local guard_s = tonumber(ARGV[10])
if guard_s and math.abs(guard_s - now) > CLOCK_TOLERANCE_S then
  return { 'clock', format('%.17g', now) }
end

local got = call('HMGET', books, 'generation', 'stopped', day, month, writer, 'due')
local number, due = tonumber(match(got[5] or '0', '%d+')), tonumber(got[6] or 0)

local function forget()
  call('ZREMRANGEBYSCORE', KEYS[2], LAPSED, LAPSED + now - LAPSED_KEPT_S - 1)
  call('ZREMRANGEBYSCORE', KEYS[2], DONE, DONE + now - SETTLED_KEPT_S - 1)
end

-- Most steps meet no limit and change nothing but amounts. They end here; what follows says the same at length.
if got[1] == ARGV[2] and got[2] == '' and now < due and got[3] and got[4] and tonumber(ARGV[8]) <= number then
  local ds, dr, dx, dp, dq, plan = match(got[3], '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  local ms, mr, mx, mp, mq, same = match(got[4], '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  if plan == ARGV[5] and same == plan and (step == 'reserve' or step == 'settle') then
    local amount, reservation = tonumber(ARGV[12]), ARGV[11] .. ' ' .. ARGV[12] .. ' ' .. day
    local seen = format('%.0f %.0f', math.max(number, ARGV[7]), now)
    if step == 'reserve' then
      local day_used, month_used, expires_s, added = ds + dr + amount, ms + mr + amount, now + ARGV[16], 0
      if day_used <= tonumber(ARGV[13]) and month_used <= tonumber(ARGV[14])
        and day_used < tonumber(dq) and month_used < tonumber(mq) and expires_s >= due then
        added = call('ZADD', KEYS[2], 'NX', 0, '=' .. got[1], expires_s, reservation)
        if added == 2 then call('ZREM', KEYS[2], '=' .. got[1], reservation) end -- not the ones of these books
      end
      if added == 1 then
        call('HSET', books, day, format('%s %.0f %s %s %s %s', ds, dr + amount, dx, dp, dq, plan),
          month, format('%s %.0f %s %s %s %s', ms, mr + amount, mx, mp, mq, plan), writer, seen)
        return 'admitted'
      end
    else
      local spent, score = tonumber(ARGV[13]), call('ZSCORE', KEYS[2], reservation)
      if spent and score and tonumber(score) >= 0 and dr - amount >= 0 and mr - amount >= 0
        and ds + dr - amount + spent < tonumber(dq) and ms + mr - amount + spent < tonumber(mq) then
        call('ZADD', KEYS[2], DONE + now, reservation)
        if ARGV[7] % 16 < 2 then forget() end -- of reserve and settle in turn, one number is odd
        call('HSET', books, day, format('%.0f %.0f %s %s %s %s', ds + spent, dr - amount, dx, dp, dq, plan),
          month, format('%.0f %.0f %s %s %s %s', ms + spent, mr - amount, mx, mp, mq, plan), writer, seen)
        return 'settled'
      end
    end
  end
end

local entries, stopped, generation, made

local function account(period, text)
  local spent, reserved, extra, presumed, quiet, plan = match(text or '0 0 0 0', '(%S+) (%S+) (%S+) (%S+) ?(%S*) ?(%S*)')
  return {
    period = period, is_new = not text, spent = tonumber(spent), reserved = tonumber(reserved),
    extra = tonumber(extra), presumed = tonumber(presumed), quiet = tonumber(quiet) or 0, plan = plan,
  }
end

local function keep(of)
  call('HSET', books, of.period, format('%.0f %.0f %.0f %.0f %.0f %s',
    of.spent, math.max(0, of.reserved), of.extra, of.presumed, of.quiet, of.plan == '' and '-' or of.plan))
end

-- What a reservation held is held no longer.
local function take_back(of, amount, state)
  if state == 'open' then
    of.reserved = of.reserved - amount
  elseif state == 'lapsed' then
    of.spent, of.presumed = of.spent - amount, of.presumed - amount
  end
end

-- What is known of a reservation: open, lapsed, done or nothing.
local function state_of(reservation)
  local score = tonumber(call('ZSCORE', KEYS[2], reservation))
  if not score then return nil end
  if score >= 0 then return 'open' end
  if score >= DONE then return score >= DONE + now - SETTLED_KEPT_S and 'done' or nil end
  return score >= LAPSED + now - LAPSED_KEPT_S and 'lapsed' or nil
end

local function helpers()
  if made then return made end
  made = { plan = cjson.decode(ARGV[4]) }
  entries = entries or {}

  -- person and reason come as JSON
  function made.write(change, name, cap, of, requested, person, reason)
    local entry = format(
      '{"time_s":%.17g,"change":"%s","limit_name":"%s","period":"%s","limit_micro_usd":%.0f,"spent_micro_usd":%.0f,' ..
      '"reserved_micro_usd":%.0f,"requested_micro_usd":%.0f,"person":',
      now, change, name, of.period, cap, of.spent, of.reserved, requested
    ) .. (person or '""') .. ',"reason":' .. (reason or '""') .. '}'
    entries[#entries + 1] = entry
    call('RPUSH', KEYS[3], entry)
  end

  function made.stop(name, cap, of, amount)
    stopped = name
    call('HSET', books, 'stopped', name)
    made.write('stopped', name, cap, of, amount)
  end

  function made.tell(change, name, cap, of, amount)
    if call('HSETNX', books, 'told|' .. of.period .. '|' .. change .. ':' .. name, now) == 1 then
      made.write(change, name, cap, of, amount)
    end
  end

  function made.cap(limit, of)
    if limit[4] == 1 then return limit[3] + of.extra end
    return limit[3]
  end

  function made.watch(which, of, amount)
    local used = of.spent + of.reserved
    of.quiet, of.plan = 1e18, ARGV[5]
    for _, limit in ipairs(made.plan.limits) do
      local cap = made.cap(limit, of)
      if limit[2] == which and used >= cap then
        made.tell('reached', limit[1], cap, of, amount)
        if limit[4] == 1 then
          of.quiet = 0 -- it stops again, and again
          if stopped == '' then made.stop(limit[1], cap, of, amount) end
        end
      elseif limit[2] == which then
        of.quiet = math.min(of.quiet, cap)
      end
    end
    keep(of)
  end

  -- Where a stop was made: the account that it is about, and its limit there.
  function made.stopping(accounts)
    for _, limit in ipairs(made.plan.limits) do
      if limit[1] == stopped then
        local of = accounts[limit[2]]
        return of, made.cap(limit, of)
      end
    end
    return accounts[1], 0
  end

  -- What was reserved by those who neither settled nor gave up in time is taken for spent.
  function made.expire()
    for _, reservation in ipairs(call('ZRANGEBYSCORE', KEYS[2], '(0', now)) do
      local amount, of_day = match(reservation, ' (%d+) (%S+)$')
      for _, period in ipairs({ of_day, string.sub(of_day, 1, 7) }) do
        local of = account(period, call('HGET', books, period))
        of.reserved = of.reserved - amount
        of.spent, of.presumed = of.spent + amount, of.presumed + amount
        keep(of)
      end
      call('ZADD', KEYS[2], LAPSED + call('ZSCORE', KEYS[2], reservation), reservation)
    end
    due = tonumber(call('ZRANGEBYSCORE', KEYS[2], '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]) or math.huge
    call('HSET', books, 'due', format('%.17g', due))
  end

  function made.begin(of)
    if of.is_new then
      keep(of)
      made.write('opened', '', 0, of, 0)
    end
  end

  -- The books that were known under this name are not what they were.
  function made.lose(known, what)
    generation = known .. "'"
    call('HSET', books, 'generation', generation, 'stopped', stopped)
    call('ZREM', KEYS[2], '=' .. known)
    call('ZADD', KEYS[2], 0, '=' .. generation)
    made.say_lost(known, what)
  end

  -- One that knew the books before they were lost says so; all others knew the same ones.
  function made.say_lost(known, what)
    if call('HSETNX', books, 'lost|' .. known, now) == 1 then
      local nothing = { period = '', spent = 0, reserved = 0 }
      made.write('lost', '', 0, nothing, 0, nil, '"' .. what .. '"')
      if made.plan.stops_when_lost and stopped == '' then made.stop('lost_records', 0, nothing, 0) end
    end
  end

  -- Books and reservations do not belong together: one of them was removed.
  function made.part(mark)
    call('ZREMRANGEBYSCORE', KEYS[2], 0, '+inf')
    if not got[1] then
      call('ZREMRANGEBYSCORE', KEYS[2], LAPSED, DONE - 1)
      return made.lose(mark, '')
    end
    -- What is spent is known; those whose reservations are forgotten settle in full.
    for field, text in pairs(made.fields()) do
      if match(field, '^%d+-[%d-]+$') then
        local of = account(field, text)
        of.reserved = 0
        keep(of)
      end
    end
    made.lose(got[1], 'its reservations')
  end

  function made.fields()
    local all, fields = call('HGETALL', books), {}
    for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
    return fields
  end

  -- The caller knows other books than these, or none.
  function made.meet(found)
    local known = string.sub(ARGV[2], 1, 1) ~= '+' and ARGV[2]
    if not found and known then return made.lose(known, '') end
    generation = found or string.sub(ARGV[2], 2)
    if not found then
      call('HSET', books, 'generation', generation, 'stopped', '')
      call('ZADD', KEYS[2], 0, '=' .. generation)
    elseif known then
      made.say_lost(known, '')
    end
  end

  -- A writer that is new: those that have been silent for longer than they would wait are forgotten.
  function made.welcome()
    for field, text in pairs(made.fields()) do
      local last = match(field, '^writer|') and match(text, '%d+$')
      if last and tonumber(last) < now - LAPSED_KEPT_S then call('HDEL', books, field) end
    end
  end

  return made
end

local function answer(outcome, ...)
  local said = { outcome, generation, ... }
  if entries and #entries > 0 then
    said[#said + 1] = 'entries'
    for _, entry in ipairs(entries) do said[#said + 1] = entry end
  end
  return said
end

local mark = match(call('ZRANGEBYSCORE', KEYS[2], 0, 0)[1] or '', '^=(.*)')
generation, stopped = got[1], got[2] or ''
if (generation or nil) ~= mark then -- where only the status is asked, the next one that changes something says so
  if step ~= 'status' then helpers().part(mark) end
elseif step ~= 'status' and generation ~= ARGV[2] then
  helpers().meet(generation)
elseif step ~= 'status' and tonumber(ARGV[8]) > number then
  helpers().lose(generation, 'its last writes')
end
if step ~= 'status' then
  if not got[5] then helpers().welcome() end
  call('HSET', books, writer, format('%.0f %.0f', math.max(number, ARGV[7]), now))
end
if generation and generation == mark or step ~= 'status' then
  if now >= due then helpers().expire() end
  got = call('HMGET', books, 'generation', 'stopped', day, month)
end
local of_day, of_month = account(day, got[3]), account(month, got[4])
local accounts = { of_day, of_month }

-- A reservation that expires then is kept.
local function expect(expires_s)
  if expires_s < due then call('HSET', books, 'due', format('%.17g', expires_s)) end
end

-- token, amount, the daily and the monthly limit for its priority, priority, seconds to expire in
if step == 'reserve' then
  local reservation, amount = ARGV[11] .. ' ' .. ARGV[12] .. ' ' .. day, tonumber(ARGV[12])
  if call('ZADD', KEYS[2], 'NX', now + ARGV[16], reservation) == 0 then return answer('admitted') end
  if of_day.is_new or of_month.is_new then
    helpers().begin(of_day)
    helpers().begin(of_month)
  end
  if stopped ~= '' then
    call('ZREM', KEYS[2], reservation)
    local of, cap = helpers().stopping(accounts)
    return answer('refused', stopped, format('%.0f', cap), format('%.0f', of.spent),
      format('%.0f', of.reserved), 1)
  end
  for i, of in ipairs(accounts) do
    if of.spent + of.reserved + amount > tonumber(ARGV[12 + i]) then
      local plan = helpers().plan
      local limit = plan.limits[plan.by[ARGV[15]][i]]
      local cap = made.cap(limit, of)
      if of.spent + of.reserved + amount > cap then
        call('ZREM', KEYS[2], reservation)
        local trips = limit[4] == 1 and of.spent + of.reserved >= plan.hard[i]
        made.tell('refusing', limit[1], cap, of, amount)
        if trips then made.stop(limit[1], cap, of, amount) end
        return answer('refused', limit[1], format('%.0f', cap), format('%.0f', of.spent),
          format('%.0f', of.reserved), trips and 1 or 0)
      end
    end
  end
  expect(now + ARGV[16])
  for i, of in ipairs(accounts) do
    of.reserved = of.reserved + amount
    helpers().watch(i, of, amount)
  end
  return answer('admitted')
end

-- token, reserved amount, spent amount or nothing, whether the store has admitted it
if step == 'settle' then
  -- What was not reserved is the same whatever the day: sent again, it may have another.
  local reservation, actual = ARGV[11] .. ' ' .. ARGV[12] .. ' ' .. (guard_s and 'record' or day), tonumber(ARGV[13])
  local state = state_of(reservation)
  if state == 'done' then return answer('known') end
  call('ZADD', KEYS[2], DONE + now, reservation)
  forget()
  if not (state or actual) then return answer('released') end
  for i, of in ipairs(accounts) do
    if of.is_new then helpers().begin(of) end
    take_back(of, ARGV[12], state)
    of.spent = of.spent + (actual or 0)
    if actual then helpers().watch(i, of, actual) else keep(of) end
  end
  if not actual then return answer('released') end
  return answer(state == 'open' and 'settled' or (state or ARGV[14] == '1') and 'late' or 'recorded')
end

-- token, amount, seconds to expire in
if step == 'extend' then
  local reservation, amount = ARGV[11] .. ' ' .. ARGV[12] .. ' ' .. day, tonumber(ARGV[12])
  local state = state_of(reservation)
  if state == 'done' then return answer('known') end
  call('ZADD', KEYS[2], now + ARGV[13], reservation)
  expect(now + ARGV[13])
  if state == 'open' then return answer('extended') end
  for i, of in ipairs(accounts) do
    if of.is_new then helpers().begin(of) end
    take_back(of, amount, state)
    of.reserved = of.reserved + amount
    helpers().watch(i, of, amount)
  end
  return answer('extended')
end

if step == 'reset' then
  -- person and reason, both as JSON, extra amount
  if stopped == '' then return answer('running') end
  for i, of in ipairs(accounts) do
    helpers().begin(of)
    of.extra, of.quiet = of.extra + tonumber(ARGV[13]), 0
    keep(of)
    for _, limit in ipairs(made.plan.limits) do
      if limit[2] == i and limit[4] == 1 then
        local told = 'told|' .. of.period .. '|'
        call('HDEL', books, told .. 'reached:' .. limit[1], told .. 'refusing:' .. limit[1])
      end
    end
  end
  local of, cap = made.stopping(accounts)
  call('HSET', books, 'stopped', '')
  made.write('reset', stopped, cap, of, tonumber(ARGV[13]), ARGV[11], ARGV[12])
  return answer('reset')
end

if step == 'status' then return { stopped, got[3] or '0 0 0 0', got[4] or '0 0 0 0', format('%.17g', now) } end

return redis.error_reply('ERR costlab: unknown step')
