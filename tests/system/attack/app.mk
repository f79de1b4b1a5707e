# So that the mistakes are mistakes.
app_flags += -fno-stack-protector -U_FORTIFY_SOURCE -Wno-stringop-overflow -Wno-use-after-free
