"""What runs inside the sandbox: `template` is forked once per submission, `learner` runs its cells, `examiner` runs the tests.

Everything here is imported before a learner's code exists. The modules that stand between that code and its score
(`guard`, `pristine`, `hardening`, `borrowing`, `examiner`) keep a private copy of the builtins and hold their state in closures only,
so there is no module attribute, class or builtin through which a submission could change what they do.
"""
